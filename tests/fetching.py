"""fetchmail and mpop as printers that poll: each takes the one message that waits, and it is gone."""

from __future__ import annotations

from pathlib import Path

from tests.house import SECRET, House, foreign


async def fetchmail(house: House, printer: str, folder: Path) -> bytes:
    """What fetchmail hands to a delivery agent, with LF."""
    taken, control = folder / "taken", folder / "fetchmailrc"
    control.touch(mode=0o600)
    host, port = house.pop3
    control.write_text(
        f"set invisible\nset no bouncemail\npoll {host} proto pop3 port {port} auth password no dns\n"
        f'  user "{printer}" password "{SECRET}" is nobody here no rewrite pass8bits stripcr fetchall sslproto ""\n'
        f'  mda "tee {taken}"\n'
    )
    done = await foreign("fetchmail", "-f", str(control), "--pidfile", str(folder / "pid"), "-i", str(folder / "ids"))
    assert done.status == 0, done.out + done.err
    return taken.read_bytes()


async def mpop(house: House, printer: str, folder: Path) -> bytes:
    """What mpop puts into a maildir, with LF."""
    box, control = folder / "box", folder / "mpoprc"
    for name in ("tmp", "new", "cur"):
        (box / name).mkdir(parents=True)
    control.touch(mode=0o600)
    host, port = house.pop3
    control.write_text(
        f"account printer\nhost {host}\nport {port}\ntls off\nauth user\nuser {printer}\npassword {SECRET}\n"
        f"received_header off\nkeep off\nuidls_file {folder}/uidls\ndelivery maildir {box}\n"
    )
    done = await foreign("mpop", f"--file={control}", "printer")
    assert done.status == 0, done.out + done.err
    (file,) = (box / "new").iterdir()
    return file.read_bytes()
