"""Counts the GPUs through the driver's own library, which the runtime mounts from the host."""
import ctypes

cuda = ctypes.CDLL("libcuda.so.1")


def call(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    if code != 0:
        raise SystemExit(f"{name} answered {code}")


call("cuInit", 0)
version, count = ctypes.c_int(), ctypes.c_int()
call("cuDriverGetVersion", ctypes.byref(version))
call("cuDeviceGetCount", ctypes.byref(count))
print(f"driver for CUDA {version.value // 1000}.{version.value % 1000 // 10}")
for index in range(count.value):
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    call("cuDeviceGet", ctypes.byref(device), index)
    call("cuDeviceGetName", name, len(name), device)
    print(f"GPU {index}: {name.value.decode()}")
if count.value < 1:
    raise SystemExit("the driver sees no GPU")
