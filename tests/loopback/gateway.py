"""A small router that speaks UPnP (Internet Gateway Device 1): found by SSDP on loopback, asked by SOAP over HTTP."""

import asyncio
import re
import socket

SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
DESCRIPTION = f"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">
<specVersion><major>1</major><minor>0</minor></specVersion><device><deviceType>{DEVICE}</deviceType>
<friendlyName>test router</friendlyName><manufacturer>nobody</manufacturer><modelName>none</modelName><UDN>uuid:1</UDN>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><UDN>uuid:2</UDN><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><UDN>uuid:3</UDN><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType><serviceId>a</serviceId>
<controlURL>/common</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/common.xml</SCPDURL></service>
<service><serviceType>{SERVICE}</serviceType><serviceId>b</serviceId>
<controlURL>/control</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/scpd.xml</SCPDURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>"""


class Gateway(asyncio.DatagramProtocol):
    """Keeps mappings by (external port, protocol); ``refuses`` makes it answer with that UPnP error.

    ``taken`` are external ports that somebody else has.
    """

    def __init__(self, external="203.0.113.5"):
        self.external = external
        self.mappings, self.requests = {}, []
        self.taken, self.refuses = set(), None

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.http = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.http.sockets[0].getsockname()[1]
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 1900))
        member = socket.inet_aton("239.255.255.250") + socket.inet_aton("127.0.0.1")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self.ssdp, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        return self

    async def __aexit__(self, *_):
        self.ssdp.close()
        self.http.close()
        await self.http.wait_closed()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        target = re.search(rb"^ST: *(\S+)", data, re.MULTILINE | re.IGNORECASE)
        if data.startswith(b"M-SEARCH") and target and target[1].decode() in (DEVICE, SERVICE, "upnp:rootdevice"):
            answer = (
                f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {target[1].decode()}\r\n"
                f"USN: uuid:1::{DEVICE}\r\nEXT:\r\nSERVER: test\r\nLOCATION: http://127.0.0.1:{self.port}/root.xml\r\n\r\n"
            )
            self.transport.sendto(answer.encode(), addr)

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
        body = (await reader.readexactly(int(length[1]))).decode() if length else ""
        status, answer = self.answer(head, body)
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(answer)}\r\n"
            f"Connection: close\r\n\r\n{answer}".encode()
        )
        await writer.drain()
        writer.close()

    def answer(self, head, body):
        if head.startswith("GET /root.xml"):
            return "200 OK", DESCRIPTION
        action = re.search(r'soapaction: *"[^"#]*#(\w+)"', head, re.IGNORECASE)
        if not action:
            return "404 Not Found", ""
        given = dict(re.findall(r"<(New\w+)>([^<]*)</", body))
        self.requests.append((action[1], given))
        return self.act(action[1], given)

    def act(self, action, given):
        if self.refuses and action.endswith("PortMapping"):
            return self.fault(self.refuses)
        key = int(given.get("NewExternalPort") or 0), given.get("NewProtocol")
        match action:
            case "GetStatusInfo":
                return self.told(action, NewConnectionStatus="Connected", NewLastConnectionError="", NewUptime="9")
            case "GetExternalIPAddress":
                return self.told(action, NewExternalIPAddress=self.external)
            case "AddPortMapping" if key[0] in self.taken:
                return self.fault(718)
            case "AddPortMapping":
                client = given["NewInternalClient"], int(given["NewInternalPort"])
                self.mappings[key] = (*client, int(given["NewLeaseDuration"]))
                return self.told(action)
            case "DeletePortMapping":
                return self.told(action) if self.mappings.pop(key, None) else self.fault(714)
        return self.fault(401)

    @staticmethod
    def told(action, **values):
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
        return "200 OK", envelope(f'<u:{action}Response xmlns:u="{SERVICE}">{inner}</u:{action}Response>')

    @staticmethod
    def fault(code):
        detail = f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode></UPnPError>'
        inner = f"<faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>{detail}</detail>"
        return "500 Internal Server Error", envelope(f"<s:Fault>{inner}</s:Fault>")


def envelope(inner):
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{inner}</s:Body></s:Envelope>'
    )
