"""The GPU multiplies and convolves, and its results are those of the CPU."""
import torch

assert torch.cuda.is_available(), "no CUDA device"
print(torch.cuda.get_device_name(0), torch.cuda.get_device_capability(0), torch.backends.cudnn.version())
torch.manual_seed(0)
a, b = torch.randn(256, 256), torch.randn(256, 256)
assert torch.allclose((a.cuda() @ b.cuda()).cpu(), a @ b, atol=1e-2)
image, kernel = torch.randn(1, 3, 32, 32), torch.randn(8, 3, 3, 3)
there = torch.nn.functional.conv2d(image.cuda(), kernel.cuda()).cpu()
assert torch.allclose(there, torch.nn.functional.conv2d(image, kernel), atol=1e-2)
