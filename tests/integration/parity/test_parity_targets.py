"""Targets: what is decoded, merged, refused; the absolute form; the Location they lead to."""

from cases import case, judge, parametrize, request

TARGETS = [
    "/sp%20ace", "/h%23a%3fb%25c", "/h%23a%3Fb%25c", "/plus+eq=;&", "/plus%2Beq%3d%3b%26", "/raw%ff%c3%a9",
    "/raw\xff\xc3\xa9", "/q%22%5cuo", '/q"\\uo', "/%e2%82%ac%f0%9f%98%80", "/ctl%01%0a%09%1f%0d%08%0c%7f",
    "/d?a=b", "/d?", "/d??", "/d?a=b#c", "/t?a=b", "/t#x", "/d#x", "/d#", "/%64?x#y", "/d?%00", "/d?%zz",
    "/d?a/../b", "//d", "/./d", "/d/..", "/d/.", "/d/./", "/d/../", "/d/../t", "/..", "/../t", "/../", "/.",
    "/./", "//", "///", "/d//", "/d//sub", "/d///sub//", "/%2e%2e/t", "/d/%2e%2e/t", "/d/.%2e/t", "/d/%2e./t",
    "/d/%2e/a", "/d%2f..%2ft", "/d%2fa", "/d%2Fa", "%2fd", "/a%", "/a%2", "/a%zz", "/a%2z", "/a%00", "/%00",
    "/d/%00", "/...", "/d/...", "/d/..x", "/d/x..", "/d/.x/../a", "/d/../../t", "/d/../../", "/deep/1/../2",
    "/deep/1/2/../../1/2/3/leaf", "/deep/1/2/3/./.././3/leaf", "/deep//1//2//3//leaf", "/nope/../t",
    "/t/../t", "/d/sub/../a", "/sv00/aa/bb/../../..", "/sv00/aa/bb/../../../../", "/%", "/%%", "/%25",
    "/d%20", "/d ", "/d\x7f", "/d\x01", "/d\x1f", "/d\t", "/\x80", "/d%7f", "/d%80", "/d%ff/", "/D",
    "/d;x", "/d/;x", "/t.", "/t/.", "/t/..", "/d.", "/~", "/d/~", "/d/%7e", "/d/%c3%84", "/d/%C3%84",
    "/d\\sub", "/d%5csub", "/d/../d/../d/../d/a", "/a/b/c/../../../t", "/a/b/c/../../../../t", "/?", "/#", "/?#",
    "/./?x", "/d/?x=1", "/empty?x y", "/d&x", "/%64%2F%73ub", "/d/%73ub?q=%20", "*", "", "d", "?x", "#x", "t",
    "h:80", ":80", "h", "//h/t", "http:/t", "http:t", "http:///t", "http://", "http", "http:",
]
ABSOLUTE = [
    "http://other", "http://other/", "http://other/t", "http://other/d", "http://other/d?x", "http://other?x",
    "http://other?x=1/t", "http://other?", "http://other#x", "http://other:99/d", "http://other:/d",
    "http://other:x/d", "http://other:99999/d", "http://OTHER.Net./d", "http://other../d", "http://.other/d",
    "http://./d", "http://../d", "http://:80/d", "http://[::1]/d", "http://[::1]:80/d", "http://[::1/d",
    "http://[]/d", "http://[v1.x]/d", "http://[::1]x/d", "http://user@other/d", "http://u:p@other/d",
    "HTTP://other/d",
    "https://other/d", "ftp://other/d", "x+y-z.1://other/d", "1x://other/d", "mkv://other/d/../d",
    "http://other/%64?x#y", "http://other//d", "http://other/../t", "http://o_ther/d", "http://o%74her/d",
    "http://o\xffther/d", "http://a-b.c/d", "http://-/d", "http://1.2.3.4:5/d", "http://other\\d", "http://other;x/d",
]


def _name(target: str) -> str:
    return ascii(target).strip("'")


CASES = [
    case(f"{method} {_name(target)}", request(method, target))
    for method, targets in (("GET", TARGETS + ABSOLUTE), ("HEAD", ABSOLUTE)) for target in targets
] + [
    case(f"1.0 {_name(target)}", request("GET", target, version="1.0")) for target in ABSOLUTE
] + [
    case(f"without Host {_name(target)}", b"GET " + target.encode("latin-1") + b" HTTP/1.1\r\n\r\n")
    for target in ABSOLUTE[:6]
] + [
    case(f"PUT {_name(target)}", request("PUT", target, body=b"x"))
    for target in TARGETS + ABSOLUTE[:12]
    if not target.startswith(("/nope/../t",))
] + [
    case(f"control byte {byte:02x} {where}", request("GET",
         b"/d" + bytes([byte]) + b"x" if where == "in" else b"/d" + bytes([byte])))
    for byte in (0, 1, 8, 9, 10, 11, 12, 13, 27, 31, 32, 127, 128, 255) for where in ("in", "last")
]


@parametrize(CASES)
def test_targets(pair, case):
    judge(pair, case)
