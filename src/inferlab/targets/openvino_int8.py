"""Networks of OpenVINO in int8, through NNCF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferlab.targets.instructions import flags_here, has_vnni
from inferlab.targets.openvino_network import ACTIVATION_GROUP, compile_network, import_openvino

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model


def quantized(network: Any, model: Model, calibration: dict[str, np.ndarray], transformer: bool) -> Any:
    """The network with int8 weights and activations.

    A transformer (a network with attention) gets NNCF's scheme for transformers: signed activations in attention and
    smooth quantization. Any other gets the slow bias correction, which runs the network up to each layer. With it and
    8-bit weights in the first layer efficientnet-lite0 lost 0.2 points of accuracy, without either of them 0.9.
    """
    import_openvino()
    import nncf

    nncf.set_log_level("ERROR")
    names = [spec.name for spec in model.inputs]
    samples = len(calibration[names[0]])
    items = [{name: calibration[name][index : index + 1] for name in names} for index in range(samples)]
    # By default NNCF leaves the first layer's weights 7 bits, since 8-bit products overflow on CPUs without VNNI.
    overflow_fix = nncf.OverflowFix.DISABLE if has_vnni(flags_here()) else None
    return nncf.quantize(
        network,
        nncf.Dataset(items),
        subset_size=samples,
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        fast_bias_correction=transformer,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow_fix),
    )


def with_8_bit_weights(network: Any) -> Any:
    """The network with the weights of its linear layers in int8, each row with a scale of its own.

    Convolutions keep theirs, since OpenVINO has no kernels for them that round activations at run time.
    """
    import_openvino()
    import nncf

    nncf.set_log_level("ERROR")
    others = nncf.IgnoredScope(types=["Convolution", "GroupConvolution", "Gather"], validate=False)
    return nncf.compress_weights(network, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=others)


def rounds_activations(openvino: Any, network: Any, model: Model, size: int) -> bool:
    """Whether asking for activations rounded at run time changes the network's outputs on this CPU.

    The plugin does not say whether its kernels do so, which it leaves to what the CPU and the layer's shape allow.
    """
    import numpy as np

    inputs = list(model.preprocess(model.example_samples(size, seed=0)).values())
    given = []
    for group_size in (0, ACTIVATION_GROUP):
        compiled = compile_network(openvino, network, "int8-dynamic", threads=1, group_size=group_size)
        given.append([np.array(output) for output in compiled(inputs).values()])
    return any(not np.array_equal(exact, rounded) for exact, rounded in zip(*given, strict=True))
