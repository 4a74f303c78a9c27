"""A kernel is compiled on the device and adds two vectors."""
import torch
import triton
import triton.language as tl


@triton.jit
def add(x, y, out, n, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < n
    tl.store(out + at, tl.load(x + at, mask=inside) + tl.load(y + at, mask=inside), mask=inside)


x, y = torch.arange(1000.0, device="cuda"), torch.ones(1000, device="cuda")
out = torch.empty_like(x)
add[(triton.cdiv(1000, 256),)](x, y, out, 1000, block=256)
assert torch.equal(out, x + y)
