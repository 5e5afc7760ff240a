"""What the Vulkan loader says of the adapters of a Linux machine, asked without making a session.

The WebGPU plugin prints on stderr where it finds no adapter, and it does not say which one it takes.
"""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from impasto.models.errors import ImpastoError

LIBRARY = "libvulkan.so.1"
ICD_VARIABLE = "VK_ICD_FILENAMES"
ICD_VARIABLES = (ICD_VARIABLE, "VK_DRIVER_FILES")
"""Names of files of drivers that a user may set, for the loader to read no others."""
SWIFTSHADER = (
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
)
SOFTWARE = "software"
KINDS = {1: "integrated", 2: "discrete", 3: "virtual", 4: SOFTWARE}  # VkPhysicalDeviceType
_API_1_1 = 1 << 22 | 1 << 12
_NO_DRIVER = -9  # VK_ERROR_INCOMPATIBLE_DRIVER
_PROPERTIES_BYTES, _TYPE_AT, _NAME_AT, _NAME_BYTES = 2048, 16, 20, 256  # VkPhysicalDeviceProperties


@dataclass(frozen=True)
class Adapter:
    """One adapter.

    Attributes:
        name: as "AMD Radeon RX 7900 XT".
        kind: discrete, integrated, virtual, software or unknown.
    """

    name: str
    kind: str


class _Application(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int32),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api", ctypes.c_uint32),
    )


class _Instance(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_Application)),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def use_software() -> None:
    """Have the loader read SwiftShader's driver alone from now on, unless the user has named drivers.

    Raises:
        ImpastoError: SwiftShader is not installed.
    """
    if any(os.environ.get(name) for name in ICD_VARIABLES):
        return
    path = next((path for path in SWIFTSHADER if Path(path).is_file()), None)
    if path is None:
        raise ImpastoError(
            f"no software adapter found: allowed is SwiftShader's {SWIFTSHADER[0]}; "
            f"install Debian's package chromium, or set {ICD_VARIABLE} to the driver's file"
        )
    os.environ[ICD_VARIABLE] = path


def adapters() -> tuple[Adapter, ...]:
    """Return the adapters in the loader's order.

    Raises:
        ImpastoError: the loader is not installed, or it fails.
    """
    try:
        loader = ctypes.CDLL(LIBRARY)
    except OSError:
        raise ImpastoError(f"no Vulkan loader ({LIBRARY} not found); install Debian's package libvulkan1") from None
    application = _Application(api=_API_1_1)
    create = _Instance(type=1, application=ctypes.pointer(application))
    instance, count = ctypes.c_void_p(), ctypes.c_uint32(0)
    status = loader.vkCreateInstance(ctypes.byref(create), None, ctypes.byref(instance))
    if status == _NO_DRIVER:
        return ()
    if status != 0:
        raise ImpastoError(
            f"the Vulkan loader fails (vkCreateInstance returned {status}); install the GPU's driver again"
        )
    try:
        loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        found = (ctypes.c_void_p * count.value)()
        loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), found)
        return tuple(_described(loader, ctypes.c_void_p(device)) for device in found)
    finally:
        loader.vkDestroyInstance(instance, None)


def _described(loader: ctypes.CDLL, device: ctypes.c_void_p) -> Adapter:
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    loader.vkGetPhysicalDeviceProperties(device, properties)
    kind = ctypes.c_uint32.from_buffer(properties, _TYPE_AT).value
    name = properties.raw[_NAME_AT : _NAME_AT + _NAME_BYTES].partition(b"\0")[0].decode(errors="replace")
    return Adapter(name, KINDS.get(kind, "unknown"))
