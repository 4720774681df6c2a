#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records libvirt save images: a domain with our guest, saved by virsh in every format that this libvirt has.

    libvirt_save.py list          what there is
    libvirt_save.py ID...         record these (or all)

Uses libvirt's embedded driver, so no daemon runs and nothing of this system's libvirt is touched. virsh, the
driver and an emulator are looked for here, in the roots of peers.sh and in MIGBENCH_LIBVIRT_ROOT (a Debian root
with /proc, /dev and /sys mounted). They are the packages libvirt-clients, libvirt-daemon-driver-qemu and
libvirt-daemon-common (libvirt-daemon in Debian 12); zstd for the format of that name. Needs root rights, for the
chroot and for /var/lib/migbench, whose name stands in the images; virsh itself runs as nobody.
"""
import glob
import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys

import guest_rom
import manifest
import qemu
import walk

HOME = "/var/lib/migbench"
NOBODY = 65534
GUEST_ROM = os.environ.get("MIGBENCH_GUEST_ROM", "")
HEADER = struct.Struct("<16s5I56s")
FORMATS = ("raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse")
UNPACK = {"gzip": gzip.decompress,
          "zstd": lambda data: subprocess.run(["zstd", "-dcq"], input=data, check=True,
                                              stdout=subprocess.PIPE).stdout}
IDS = {f"libvirt-{form}-{version}": (form, version)
       for version, forms in (("7.2", ("raw", "gzip")), ("10.0", ("raw", "gzip", "zstd", "sparse")))
       for form in forms}
GUEST = {"regions": [], "fills": [{"offset": 1 << 20, "length": 64 << 10, "kind": "repeat"},
                                  {"offset": (1 << 20) + (128 << 10), "length": 16 << 10, "kind": "random"}]}
DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>migbench</name>
  <uuid>00000000-0000-4000-8000-000000000001</uuid>
  <memory unit='MiB'>8</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-{version}'>hvm</type>
    <loader type='rom' readonly='yes'>{home}/guest.rom</loader>
  </os>
  <features><apic/></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' index='0' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{home}/serial'/></serial>
  </devices>
  <qemu:commandline><qemu:arg value='-global'/><qemu:arg value='apic.vapic=off'/></qemu:commandline>
</domain>
"""
# Nothing of the host's: no labels, no groups of processes, no other user, no log daemon.
CONFIG = """security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
save_image_format = "{form}"
"""


def read_image(data):
    """(header as a dict, where the stream begins, the stream unpacked) of a save image."""
    magic, version, xml, running, form, cookie, _ = HEADER.unpack_from(data)
    if magic != b"LibvirtQemudSave" or form >= len(FORMATS):
        raise walk.Bad(f"not a complete libvirt save image: {magic}, format {form}")
    begin = HEADER.size + xml
    domain = data[HEADER.size:begin]
    name = re.search(rb"<name>(.*?)</name>", domain).group(1).decode()
    info = {"version": version, "compression": FORMATS[form], "xml_bytes": xml,
            "was_running": bool(running), "cookie_offset": cookie, "domain": name}
    return info, begin, UNPACK.get(FORMATS[form], bytes)(data[begin:])


def walk_image(data):
    """A walker that has been over the stream of an image."""
    info, begin, stream = read_image(data)
    sparse = info["compression"] == "sparse"
    walker = walk.Walker(data if sparse else stream)
    walker.at = begin if sparse else 0
    return info, begin, stream, walker.walk()


class Root:
    """A system with virsh in it: this one ("/"), or one to chroot to."""

    def __init__(self, path):
        self.path = path
        self.prefix = ["chroot", path] if path != "/" else []
        self.libvirt = self.output("virsh", "--version").strip()
        text = self.output("/usr/bin/qemu-system-x86_64", "--version")
        self.full = re.search(r"version ([0-9.]+)", text).group(1)
        found = re.search(r"\(Debian ([^)]*)\)", text)
        self.qemu_package = found.group(1) if found else ""
        self.package = self.output("dpkg-query", "-W", "-f", "${Version}", "libvirt-daemon-driver-qemu")
        self.version = ".".join(self.full.split(".")[:2])

    def output(self, *argv):
        return subprocess.run(self.prefix + list(argv), check=True, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    def file(self, name):
        return os.path.join(self.path, HOME[1:], name)

    def virsh(self, *commands):
        argv = self.prefix + ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env",
                              f"HOME={HOME}", "LC_ALL=C", "virsh", "-q", "-c", f"qemu:///embed?root={HOME}/root"]
        done = subprocess.run(argv + ["; ".join(commands)], text=True, timeout=120, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode and "destroy" not in commands[0]:
            raise qemu.QemuError("virsh: " + done.stdout.strip())


def roots():
    """{QEMU's version: Root}"""
    found = {}
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    peers = os.environ.get("MIGBENCH_PEERS", os.path.join(cache, "migbench/peers"))
    own = os.environ.get("MIGBENCH_LIBVIRT_ROOT")
    for path in ["/"] + ([own] if own else []) + sorted(glob.glob(os.path.join(peers, "root-*"))):
        if glob.glob(os.path.join(path, "usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so")):
            try:
                root = Root(path)
                found.setdefault(root.version, root)
            except (OSError, subprocess.CalledProcessError, AttributeError):
                print(f"{path}: has libvirt, but virsh or the emulator does not run", file=sys.stderr)
    return found


def prepare(root, form, rom):
    home = root.file("")
    if os.path.exists(home):
        raise qemu.QemuError(f"{home} exists already; it is where this script works")
    os.makedirs(root.file("root/etc"))
    for name, contents in (("guest.rom", rom), ("root/etc/qemu.conf", CONFIG.format(form=form).encode()),
                           ("domain.xml", DOMAIN.format(version=root.version, home=HOME).encode())):
        with open(root.file(name), "wb") as f:
            f.write(contents)
    for folder, _, names in os.walk(home):
        for name in [folder] + [os.path.join(folder, n) for n in names]:
            os.chown(name, NOBODY, NOBODY)


def save(root, form, rom):
    """The image, and the domain's description as it was given."""
    prepare(root, form, rom)
    try:
        # The driver lives in virsh, so one call does it all. No command of virsh waits for the guest to be ready;
        # "event" waits for something that never comes.
        root.virsh(f"define {HOME}/domain.xml", "start migbench", "event migbench reboot --timeout 5",
                   f"save migbench {HOME}/image")
        guest_rom.wait_ready(root.file("serial"), 1)
        with open(root.file("image"), "rb") as f:
            return f.read()
    except (qemu.QemuError, OSError, subprocess.SubprocessError):
        root.virsh("destroy migbench")
        raise
    finally:
        shutil.rmtree(root.file(""))


def check(data, rom, form):
    info, begin, stream, walker = walk_image(data)
    if info["compression"] != form:
        raise walk.Bad(f"asked for {form}, got {info['compression']}")
    if walker.nonzero("pc.rom") or walker.image("pc.bios") != rom:
        raise walk.Bad("something else than our ROM is in the image")
    if not walker.nonzero("pc.ram"):
        raise walk.Bad("the guest did not fill its memory")
    return info, begin, stream, walker


def record(trace_id, root, form):
    if not GUEST_ROM:
        raise qemu.QemuError("MIGBENCH_GUEST_ROM is not set: build migbench-guest.rom first")
    with open(GUEST_ROM, "rb") as f:
        rom = guest_rom.patch(f.read(), GUEST)
    data = save(root, form, rom)
    info, begin, stream, walker = check(data, rom, form)
    producer = {"qemu": root.full, "package": root.qemu_package, "program": "qemu-system-x86_64",
                "libvirt": root.libvirt, "libvirt_package": root.package, "accel": "tcg",
                "domain": DOMAIN.format(version=root.version, home=HOME).split("\n")[:-1],
                "guest": {"rom": "migbench-guest.rom", "sha256": hashlib.sha256(rom).hexdigest(),
                          "parameters": GUEST},
                "machine": walker.config["name"]}
    fields = {"features": ["libvirt"], "comment": f"virsh save with save_image_format = \"{form}\"",
              "producer": producer, "image": info,
              "stream": {"sha256": hashlib.sha256(stream).hexdigest(), "bytes": len(stream)},
              "memory": {"pc.ram": hashlib.sha256(walker.image("pc.ram")).hexdigest()},
              "channels": ["main"], "made_by": f"traces/gen/libvirt_save.py {trace_id}"}
    if form == "sparse":
        fields["offset"] = begin
    manifest.write(trace_id, data, "libvirt", fields, walker, extension="save")


def main(argv):
    if argv == ["list"]:
        print("\n".join(IDS))
        return 0
    status, found = 0, roots()
    for trace_id in argv or IDS:
        if trace_id not in IDS:
            print(f"libvirt_save.py: no trace '{trace_id}'; 'list' prints them", file=sys.stderr)
            return 2
        form, version = IDS[trace_id]
        try:
            if version not in found:
                print(f"{trace_id}: no libvirt with QEMU {version} here", file=sys.stderr)
                status = 3
            else:
                record(trace_id, found[version], form)
        except (qemu.QemuError, walk.Bad, OSError, subprocess.SubprocessError) as e:
            print(f"{trace_id}: FAILED: {type(e).__name__}: {e}", file=sys.stderr)
            status = 4
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
