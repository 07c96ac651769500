"""The types of a kernel's parameters, for a build without a call."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Plan, Pointer

_ALIGNMENT = (
    16  # bytes of a pointer, elements of a stride or a size: what Triton asks of a call before it uses wide accesses
)


@dataclass(frozen=True, slots=True)
class Signature:
    """What `triton.compiler.ASTSource` and `triton.compile` take.

    Attributes:
        types: type per parameter.
        constants: value per compile-time parameter.
        attributes: what is known of a parameter, by its place.
        options: of the build; the same that a launch passes.
    """

    types: dict[str, str]
    constants: dict[str, int | None]
    attributes: dict[tuple[int], list[list[object]]]
    options: dict[str, object]


def signature(plan: Plan, checks: bool = True) -> Signature:
    """Return the signature of a call with contiguous tensors, and with or without the search for values not finite."""
    types: dict[str, str] = {}
    divisible: set[str] = set()
    for pointer in (*plan.pointers, *plan.scratch):
        types[pointer.name] = _pointer_type(plan, pointer)
        types |= dict.fromkeys(pointer.strides, "i32")
        divisible.add(pointer.name)
        elements = [plan.extent[axis] for axis in pointer.type.axes]
        if pointer.storage == "bits":
            elements = [-(-size // 32) for size in elements]
        if elements and all(size % _ALIGNMENT == 0 for size in elements):
            divisible |= set(pointer.strides)
    types |= {word: "*i64" if checks or word != "_bad" else "constexpr" for word in plan.words}
    types |= dict.fromkeys(plan.call, "i64")
    types |= dict.fromkeys(plan.sizes.values(), "i32")
    divisible |= {name for axis, name in plan.sizes.items() if plan.extent[axis] % _ALIGNMENT == 0}
    types |= dict.fromkeys(plan.constants, "constexpr")
    constants: dict[str, int | None] = dict(plan.constants)
    if not checks:
        constants["_bad"] = None
    places = {name: (place,) for place, name in enumerate(types)}
    return Signature(
        types,
        constants,
        {places[name]: [["tt.divisibility", _ALIGNMENT]] for name in types if name in divisible},
        options(plan),
    )


def options(plan: Plan) -> dict[str, object]:
    """Return the build options: contraction would round an update differently forward and backward."""
    together = {"launch_cooperative_grid": True} if plan.programs else {}
    stages = {"num_stages": n} if (n := plan.kernel.options.get("stages")) else {}
    return {"num_warps": plan.warps, "enable_fp_fusion": False, **together, **stages}


def _pointer_type(plan: Plan, pointer: Pointer) -> str:
    real = {"float32": "*fp32", "float64": "*fp64"}[plan.dialect.dtype]
    narrow = {"bfloat16": "*bf16", "float16": "*fp16"}.get(plan.precision, real)
    sizes = {"real": real, "narrow": narrow, "condition": narrow, "uint8": "*u8", "bits": "*i32", "int32": "*i32"}
    return sizes[pointer.storage]
