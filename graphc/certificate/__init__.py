"""The certificate: what is checked of a model, and how far its kernels are from the float64 reference."""

from __future__ import annotations

from .compare import certify
from .table import Certificate, Row

__all__ = ["Certificate", "Row", "certify"]
