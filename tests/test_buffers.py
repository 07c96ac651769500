"""The arena hands memory out again only when nobody can see it any more."""

import gc as garbage
import threading

import torch

from graphc.runtime.buffers import Arena

CPU = torch.device("cpu")
SHAPE = (64, 1024)


def take(arena: Arena, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return arena.empty(shape, torch.float32, CPU)


def address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def test_memory_that_was_given_up_is_handed_out_again():
    arena = Arena()
    tensor = take(arena)
    place = address(tensor)
    del tensor
    assert address(take(arena)) == place
    assert address(take(arena, (1024, 64))) == place  # by size, not by shape


def test_memory_in_use_is_not_handed_out():
    arena = Arena()
    tensors = [take(arena).fill_(k) for k in range(4)]
    assert len({address(t) for t in tensors}) == 4
    assert all((t == k).all() for k, t in enumerate(tensors))


def test_a_view_keeps_the_memory():
    arena = Arena()
    tensor = take(arena).fill_(3)
    view = tensor[5:6].detach()
    place = address(tensor)
    del tensor
    assert address(take(arena).fill_(0)) != place
    assert (view == 3).all()
    del view
    assert address(take(arena)) == place


def test_a_numpy_array_keeps_the_memory():
    arena = Arena()
    array = take(arena).fill_(3).numpy()
    take(arena).fill_(0)
    assert (array == 3).all()


def test_a_tensor_saved_for_backward_keeps_the_memory():
    arena = Arena()
    leaf = torch.ones(SHAPE, requires_grad=True)
    product = leaf * take(arena).fill_(3)
    take(arena).fill_(0)
    product.sum().backward()
    assert (leaf.grad == 3).all()
    del product
    garbage.collect()


def test_tensors_of_many_sizes_share_a_few_storages():
    arena = Arena()
    for length in range(200, 1000):
        take(arena, ((length * 37) % 800 + 200, 64))
    assert sum(map(len, arena._storages.values())) < 40  # of 800 sizes


def test_memory_much_larger_than_asked_for_is_not_handed_out():
    arena = Arena()
    place = address(take(arena, (64, 2048)))
    assert address(take(arena)) != place


def test_free_memory_of_a_size_that_nobody_asks_for_goes_back():
    arena = Arena()
    take(arena)
    kept = take(arena, (64, 2048)).fill_(3)
    for _ in range(600):
        take(arena, (64, 512))
    take(arena, (64, 4096))
    sizes = {size for size, _ in arena._storages}
    assert 4 * 64 * 1024 not in sizes and 4 * 64 * 2048 in sizes
    assert (kept == 3).all()


def test_small_tensors_are_fresh():
    arena = Arena()
    assert take(arena, (4, 4)).shape == (4, 4)
    assert not arena._storages


def test_threads_never_share_memory():
    arena, wrong = Arena(), []

    def work(k: int) -> None:
        for _ in range(50):
            tensor = take(arena).fill_(k)
            if not (tensor == k).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not wrong and sum(map(len, arena._storages.values())) <= 8


def test_a_copy_of_the_arena_is_empty():
    import copy
    import pickle

    arena = Arena()
    take(arena)
    assert not copy.deepcopy(arena)._storages and not pickle.loads(pickle.dumps(arena))._storages
