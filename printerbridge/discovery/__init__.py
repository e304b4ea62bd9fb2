"""Printers that are found in the network, and what their entries could say.

`dnssd` listens to what printers announce on the own links, `sweep` asks each address of a named network by SNMP, and
`proposal` joins what both heard.  What is heard is told in three dialects: TXT records (`txt`), IEEE 1284 device IDs
(`device_id`) and numbers of the Printer MIB (`speech`).  Nobody connects to port 9100 here: that wakes printers, and
some print an empty page.
"""
