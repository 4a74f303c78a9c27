"""Calls functions of the C library, one of them with a callback into Python."""
import cffi

ffi = cffi.FFI()
ffi.cdef("""
    typedef struct { int quot; int rem; } div_t;
    div_t div(int numerator, int denominator);
    void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
""")
libc = ffi.dlopen(None)

result = libc.div(17, 5)
assert (result.quot, result.rem) == (3, 2), result


@ffi.callback("int(const void *, const void *)")
def compare(a, b):
    return ffi.cast("const int *", a)[0] - ffi.cast("const int *", b)[0]


numbers = ffi.new("int[]", [3, -1, 2, 0])
libc.qsort(numbers, len(numbers), ffi.sizeof("int"), compare)
assert list(numbers) == [-1, 0, 2, 3], list(numbers)
print("cffi", cffi.__version__)
