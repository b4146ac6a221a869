"""What the targets on NVIDIA GPUs share: modules that import torch, and are imported where it is needed."""
