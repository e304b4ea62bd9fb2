"""A program that has LibreOffice make a PDF of an Office document: `office.py PROGRAM SOURCE SUFFIX OUTPUT`.

PROGRAM is the folder of `soffice.bin`, SUFFIX what a name of this format ends with.  One process with a profile of its
own for each document, since those that share one wait for each other and hang.  What is encrypted is refused with
"Incorrect password" on stderr.

Security: LibreOffice reads strangers' octets and could run what is in them, in a confined process.  Its profile forbids
macros, scripts and OLE automation, and whatever a document links to instead of holding it: pictures, sections, external
data.  It runs without its wrapper, its splash screen and its crash reporter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

_NAME = "document"
# What users set in Tools > Options > Security and the like.  A version that does not know one leaves it out.
_SETTINGS = {
    "Common/Security/Scripting": {
        "MacroSecurityLevel": "3",  # only from trusted places, of which there are none
        "DisableMacrosExecution": "true",
        "DisableActiveContent": "true",
        "DisableOLEAutomation": "true",
        "DisablePythonRuntime": "true",
        "BlockUntrustedRefererLinks": "true",  # nothing from outside the document
    },
    "Common/Misc": {"UseOpenCL": "false", "FirstRun": "false", "CrashReport": "false"},
    "Writer/Content/Update": {"Link": "0"},  # never
    "Calc/Content/Update": {"Link": "1"},  # never
}
_AGAIN, _STARTS = 81, 3  # it has made its profile and wants to be started again: EXITHELPER_NORMAL_RESTART
_BLOCK = 1 << 20
# [MS-OFFCRYPTO] 2.3.2 and 2.3.5: streams of encrypted documents; a Word document's head with the flag for it
# ([MS-DOC] 2.5.2), and an Excel workbook's with the record FilePass ([MS-XLS] 2.4.117).
_ENCRYPTED_STREAMS = tuple(name.encode("utf-16-le") for name in ("EncryptedPackage", "EncryptedSummary"))
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_WORD, _EXCEL = b"\xec\xa5", b"\x09\x08"


def profile(folder: Path) -> None:
    """Make a user's profile with our settings in `folder`."""
    items = "".join(
        f"<item oor:path={quoteattr(f'/org.openoffice.Office.{path}')}>"
        f'<prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
        for path, settings in _SETTINGS.items()
        for name, value in settings.items()
    )
    (folder / "user").mkdir(parents=True)
    (folder / "user" / "registrymodifications.xcu").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<oor:items xmlns:oor="http://openoffice.org/2001/registry">{items}</oor:items>'
    )


def encrypted(source: str) -> bool:
    """Whether a document that LibreOffice refuses wants a password."""
    with Path(source).open("rb") as file:
        head = file.read(_BLOCK)
        if head.startswith(_OLE):
            main = head[512:]
            if main.startswith(_WORD) and len(main) > 11 and main[11] & 1:
                return True
            if main.startswith(_EXCEL) and main[4 + int.from_bytes(main[2:4], "little") :].startswith(b"\x2f\0"):
                return True
            while head:
                if any(name in head for name in _ENCRYPTED_STREAMS):
                    return True
                head = file.read(_BLOCK)
            return False
    return _encrypted_zip(source)


def _encrypted_zip(source: str) -> bool:
    """ODF 1.3 part 2 section 3.4.1: the manifest tells."""
    import zipfile

    try:
        with zipfile.ZipFile(source) as package, package.open("META-INF/manifest.xml") as manifest:
            return b"encryption-data" in manifest.read(_BLOCK)
    except (KeyError, ValueError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return False


def convert(program: str, here: Path, document: Path) -> int:
    """Run LibreOffice; its exit status."""
    command = [f"{program}/soffice.bin", f"-env:UserInstallation={(here / 'profile').as_uri()}"]
    command += ["--headless", "--norestore", "--nologo", "--nolockcheck", "--nodefault"]
    command += ["--convert-to", "pdf", "--outdir", str(here), str(document)]
    # Where there is no /proc, the loader does not find the libraries beside the program.
    environment = {**os.environ, "LD_LIBRARY_PATH": program, "SAL_USE_VCLPLUGIN": "svp"}
    for _ in range(_STARTS):
        status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
        if status != _AGAIN:
            break
    return status


def main(program: str, source: str, suffix: str, output: str) -> int:
    here = Path.cwd()
    profile(here / "profile")
    document = here / f"{_NAME}.{suffix}"
    document.symlink_to(Path(source).absolute())
    status = convert(program, here, document)
    made = document.with_suffix(".pdf")
    if status == 0 and made.exists():
        made.rename(output)
        return 0
    if status < 0:  # of a signal
        os.kill(os.getpid(), -status)
    sys.stderr.write("Incorrect password\n" if encrypted(source) else "damaged\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
