//! What this machine is: CPU, memory, GPUs; the nearest system profile.
