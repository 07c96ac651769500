"""The device that a schedule is for, as plain data."""

from __future__ import annotations

import os

import torch

from graphc.ir import DeviceSpec
from graphc.passes.strategy import HOPPER


def scheduled_for(target: str, device: torch.device) -> DeviceSpec:
    """Return what a build for `device` is laid out for.

    The texts of target "triton" can be read without a GPU: they are those for Hopper, unless Triton interprets kernels.
    """
    if target == "triton" and device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        return HOPPER
    return device_spec(device)


def device_spec(device: torch.device) -> DeviceSpec:
    """Describe a device."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        shared = getattr(properties, "shared_memory_per_block_optin", 0)
        arch = properties.major * 10 + properties.minor
        return DeviceSpec("cuda", arch, properties.multi_processor_count, shared, cooperative=properties.major >= 6)
    return DeviceSpec("cpu", cores=torch.get_num_threads())
