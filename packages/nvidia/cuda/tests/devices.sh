# Asks the run time for its devices, without Python: the loader finds it, and it finds a driver that is new enough.
set -eu
library=$(ldconfig -p | sed -n 's/.*libcudart\.so[.0-9]* .*=> //p' | head -n 1)
test -n "$library"
driver=$(ldconfig -p | sed -n 's/.*libcuda\.so\.1 .*=> //p' | head -n 1)
test -n "$driver"
for node in /dev/nvhost-gpu /dev/nvgpu /dev/nvidia0 /dev/nvmap; do
  if [ -e "$node" ]; then
    echo "$library on $driver with $node"
    exit 0
  fi
done
echo "no GPU device in the container" >&2
exit 1
