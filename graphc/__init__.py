"""Compile neuron models declared in sympy into fused forward and backward kernels."""
