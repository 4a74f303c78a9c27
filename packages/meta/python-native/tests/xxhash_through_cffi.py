"""Hashes with the C library of the libxxhash package, called through the cffi package."""
import cffi

ffi = cffi.FFI()
ffi.cdef("unsigned long long XXH64(const void *input, size_t length, unsigned long long seed);")
xxhash = ffi.dlopen("libxxhash.so.0")

assert xxhash.XXH64(b"", 0, 0) == 0xEF46DB3751D8E999
assert xxhash.XXH64(b"abc", 3, 0) == 0x44BC2CF5AD770999
