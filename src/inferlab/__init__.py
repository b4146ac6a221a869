"""Which hardware, optimization and serving set-up should a PyTorch model run on, and is the difference real?"""

__version__ = "0.1.0"
