"""Train one model in two processes by DistributedDataParallel, and get what one process gets.

Run ``python examples/distributed.py``: it trains alone, then starts itself twice by torchrun, each process with half
of every batch, and compares. ``torchrun --nproc_per_node 4 examples/distributed.py`` trains in as many processes as
you like, on as many machines as torchrun is told of. A compiled network is an ordinary module: it is wrapped, and
nothing else changes. Losses and weights of both ways should agree to the rounding of float64, 1e-10 and less, where
sums over the batch are made in another order. ``--quick`` takes fewer steps.

Source:
    Li et al. (2020), PyTorch distributed: experiences on accelerating data parallel training, VLDB 13, 3005-3018.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import graphc as gc
from graphc.units import ms

OUT = Path(__file__).parent / "out"
INPUTS, CLASSES, STEPS = 64, 10, 60


def network(size: int) -> gc.Network:
    """Return a recurrent layer of current-based neurons and a readout."""
    net = gc.Network(dt=1 * ms)
    net.input("x", INPUTS)
    net.population("hid", gc.zoo.CuBaLIF, size)
    net.population("out", gc.zoo.LI, CLASSES)
    net.connect("x", "hid", weight=gc.Uniform(-0.4, 0.4))
    net.connect("hid", "hid", delay=1, weight=gc.Uniform(-0.05, 0.05))
    net.connect("hid", "out", weight=gc.Uniform(-0.3, 0.3))
    net.output("out")
    return net


def patterns(batch: int, generator: torch.Generator, templates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes (T, B, 64), one per input near the time that its class has for it, and classes (B,)."""
    labels = torch.randint(CLASSES, (batch,), generator=generator)
    times = templates[labels] + 3 * torch.randn(batch, INPUTS, generator=generator)
    step = times.round().long().clamp(0, STEPS - 1)
    return torch.zeros(STEPS, batch, INPUTS).scatter_(0, step[None], 1.0), labels


def train(steps: int, batch: int, size: int) -> dict:
    """Train as one of the processes that torchrun has started, or alone; return losses, weights, CPU time per step."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    torch.manual_seed(0)
    net = gc.compile(network(size), target="c", dtype=torch.float64)
    model = DistributedDataParallel(net) if world > 1 else net
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    templates = torch.rand(CLASSES, INPUTS, generator=generator) * (STEPS - 20)
    losses, started = [], 0.0
    for step in range(steps):
        if step == 1:  # the first one builds the kernels
            started = time.process_time()
        spikes, labels = patterns(batch, generator, templates)  # the same in every process, which takes its share
        mine = slice(rank * batch // world, (rank + 1) * batch // world)
        loss = cross_entropy(model(spikes[:, mine].double()).mean(0), labels[mine])
        optimizer.zero_grad()
        loss.backward()  # gradients are averaged over processes here
        optimizer.step()
        losses.append(loss.detach())
    seconds = (time.process_time() - started) / max(1, steps - 1)
    mean = torch.stack(losses)
    if world > 1:
        dist.all_reduce(mean)
    return {"losses": mean / world, "weights": net.state_dict(), "seconds": seconds, "processes": world}


def launch(processes: int, arguments: list[str], path: Path) -> dict:
    """Run this file in `processes` processes by torchrun; return what the first one saved at `path`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    subprocess.run([*command, __file__, f"--save={path}", *arguments], check=True)
    return torch.load(path)


def differences(alone: dict, together: dict) -> tuple[float, float]:
    """Return the largest relative difference of losses, and of weights relative to the largest weight of the kind."""
    losses = ((alone["losses"] - together["losses"]).abs() / alone["losses"]).max()
    ours, theirs = alone["weights"], together["weights"]
    return losses.item(), max(((ours[n] - theirs[n]).abs().max() / ours[n].abs().max()).item() for n in ours)


def draw(alone: dict, together: dict, path: Path) -> None:
    """Save both losses, and how much they differ."""
    import matplotlib  # here, as torchrun's processes draw nothing

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    axes[0].plot(alone["losses"], color="0.7", lw=4, label="one process")
    axes[0].plot(together["losses"], "C3", lw=1, label=f"{together['processes']} processes")
    axes[0].set(title="loss", xlabel="step", ylabel="cross entropy")
    axes[0].legend(frameon=False)
    apart = (alone["losses"] - together["losses"]).abs() / alone["losses"]
    axes[1].semilogy(apart.clamp(min=1e-18), "k.")
    axes[1].axhline(torch.finfo(torch.float64).eps, color="0.6", ls=":", label="rounding of one number")
    axes[1].set(title="relative difference of the losses", xlabel="step", ylim=(1e-18, 1e-8))
    axes[1].legend(frameon=False)
    both = [1000 * run["seconds"] for run in (alone, together)]
    axes[2].bar(["one", str(together["processes"])], both, color=["0.7", "C3"])
    axes[2].set(title="CPU time per step, each process", xlabel="processes", ylabel="ms")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Be one of torchrun's processes; or train alone, by torchrun, and compare."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--steps", type=int, default=100)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--size", type=int, default=200)
    arguments.add_argument("--save", type=Path, help="where the first process puts losses and weights")
    arguments.add_argument("--quick", action="store_true", help="10 steps")
    options = arguments.parse_args()
    if options.quick:
        options.steps = 10
    chosen = options.steps, options.batch, options.size
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
        result = train(*chosen)
        if dist.get_rank() == 0:
            print(f"{result['processes']} processes: last loss {result['losses'][-1]:.6f}")
            if options.save:
                torch.save(result, options.save)
        dist.destroy_process_group()
        return
    alone = train(*chosen)
    print(f"alone: last loss {alone['losses'][-1]:.6f}")
    with tempfile.TemporaryDirectory() as folder:
        given = [f"--{name}={value}" for name, value in zip(("steps", "batch", "size"), chosen, strict=True)]
        together = launch(2, given, Path(folder) / "result.pt")
    print("largest difference of losses {:.1e}, of weights {:.1e}".format(*differences(alone, together)))
    print(
        f"CPU time per step: {1000 * alone['seconds']:.1f} ms alone, {1000 * together['seconds']:.1f} ms in each of two"
    )
    draw(alone, together, OUT / "distributed.png")
    print(f"figure: {OUT / 'distributed.png'}")


if __name__ == "__main__":
    main()
