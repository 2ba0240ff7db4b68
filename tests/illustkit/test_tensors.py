"""Files that torch 2.13 itself wrote, and files that mean harm."""

import argparse
import base64
import collections
import datetime
import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest

from illustkit.tensors import Skipped, TensorFileError, read_tensors

# torch.save({"step": 3, "model": OrderedDict(...), "version": "1.0",
#     "list": [1.5, None, (True, "x")]}), as zip archive and in the format before 1.6.
ZIP = (
    "c-o~_O>Em#9DhmLBn|7=I+m`3@=-og=+b;T$<{T&3~%7EweAMdBoy4lZLB$Q{`O0^Ayuk`TE=ZmJ0p(V"
    ";KmJ2+&F?%PH^HdAr4$Q^4@dm`FTq_S}Tra=lwqZ_W%Ejm*mg@LeVICVjDxpk!sbO`i3^&P_dfq+%zO{"
    "1l{1at>7l0M3rzL8*3d1$f4>WIcb><&46INZW@MG$GX|JV^^()W@(KJdL73gG^@Zsq8cV^Z)y5^6T@H~"
    "n?x^J>tfxoV>L@#?dnFOhPAeBTD6T#48n;-HNvD!OI_C>;y_}OVXAn=xfp|JH9*#+V5k}*$9ks=F*%Ik"
    "xn&v2Avw4M$7Eu22Zq0FQWql_Mim%iwrxYNYcSp<Ld{4s+8k;!=<#KO2vX<-VF>KN2?zQ-hLZ}!S@})X"
    "Sc6Fi*|T+tTykBVVy@CKMJR(9PE$9*ZFoTrY{QEV-86=m6nL4@t*)g7c!i@AS($0UrF@l9W?;sle62_M"
    "I;DKWp?niVLV;OUT;1%pF}%fbUN+n7F5laXFAH;oFM#0;;hUXxc#;_A6-Y5_E!DmWY2KP?8ZJ$S(c~cO"
    "*vj>6<*6;fp(|i0Dp0Bpk%b-AQd=6<EI8Yz1KbrcIJfs`m_{BJ9F6l#gFcx>@}$V2?C4Z5yrY14mz})("
    "1zb?zJ$5g&RtMh!iDMJsB4I-qE>Si_TjYJ`aev^j$rvsx@L_iot}y2{VoIg60aw}YOI12Ju)GNhYts$Q"
    "vPtK|iX5<Qd$qa38Zw<s!8LXx4c*3Y{S){oak2cbGj&()GAp;?;~l7K-Q<!Si7J1L{{1OI(tWA#yvEUK"
    "cV3fgrqxn$t!F?I<G!(Vw=@;_;h*0>r>b=CFEE7)j|F-YSW^vsz1`B<SQ4}SH1^ws95qnB1%CyJL~vgN"
    "<EZQ!SiOTaljeyeo;!^0-e%|+8yfYneg4l=G>yXhdKf{ATq@3|B=PJK3^=S?W%5-aAF^+e{hJDP6u<ZA"
    "t4Z?1<N=Q6ct>eTOgytAQqDuFCG74#pe;FYfL4Xq%1GkEQEvZ@hvf>>4^Gca96~>PRQ*VgnR@8__Q<57"
    "(E~gz@E&rKSUj|c08{>P=BMhx{Xc?4UO6v`i$|)S_8;xNtul3SZ#lfn*N>j1e&Hzf_pf#oO}IL4j*a?-"
    "vN7uXm#^2aAAJ9&QRZ=gG3&Nw=_J8EQ|SvzO>anI@_$y65{jjKrj!?Qg<?LF67u;%F_lf11adJ~Dy0j>"
    "Tt1b}vXqNo!#^j8j|6iWpk`g4-i#l6!nyxF%#Zd4c$`CiA42{975pUL5T4?LcL42^{C*y9kdAXa_dPsr"
    "fcxRz)EnX8CkK%)d;M5%it*TQ{n)f0>rEgYdm`+^X8c%ha`4y(er(o{_0B$zos9UfIX~7ru{`#^ADiF9"
    "K7FP+-KY;M_;tPWHp*eQJlH;c<{g7+4*aVJ{PY1`lEdM-y>SkmagoEmV<F@mZx8LodzdBtcgLJ_=S^oY"
    ">|lo3dS~r_N_OV9"
)
ROW = (
    "c-nQ7SyR(c6vvaav=Rkz7gyYiOKlcf>Ow0bpkWQD@qy`t^g^Pc=}B%;oaszosOV?#!ACy^U&n8tGd_5-"
    "v_qMAC%MU8^85dD?l~>)8*l&pKK*Cp{m-T0Y>S)!mB79UOhy}G7^dzz)G-{pvQ1pia%#Zh25kUWY>QHx"
    "R7kCA={4Z?G#)4EPMuUd>of5n(S&41>%&RUbX*F33a2G-WYs97l%$sQ8BT2z(n_+?=xF-09wl{Pl|=CI"
    "mQy7*a0Ys?i9ykV$1l27;*#o=Wl$axqpB~I!o44fwP~V~K^@mHvy}$5Y>%(FWW8b8)e0pw&v7f;A`hud"
    "MoR}$j;n7HNQa;B)3&42m2i@WBibPDDavxOC<u}y$dZ_Y{@^c+dINYRwLszMvcf0{g=@nx1x>eM;H&9-"
    "8l-Ssg`qG4wq+1FVWO;=He<0T%@B8L87Z8PJB?Jf4QE2!SqkS=I3EPa)a?xz4r!6`S)A(nzHmrD%;j=$"
    "5d}CDxa9lgcHy$Z?!uK2ewD(A3fBVo`i78)>pk$vAS^<@D{$k0z?d|aE6C&Ha5ECP6$#w-1@43b84B3n"
    "4T51f4NQT1JqmM}2wnR99=cpC6a*0-Ae}{e7U`p-A@w1JoC-o<drS8|fY@u>aqKQsIsg@mVnLEc8RW?F"
    "SY$cxTP}p~aSBBh9%=o473i+MMJRFM@qcowyMu=(F~=;*c{wjhd3YKrP6Uen`Ihj!@lg&{pHY}p;rU)L"
    "nEC=QRG1E;Mz-p72WDc}IqU@y4{a9N46<MPY{pN;S78b%A$yL(yb24ACM*VjRYAjgRi`>E1?$TiPBNf2"
    "VI?SzPRXw-tmk>_=4z1nLN*7l!|Js>3UAinZDywQn+e*&p2p(i6KHLCNBpW@^Q$_>EE|`jTwG-&;^LT$"
    "JI=ni#7V{FYMNx3sBxW_31&aV9Bi!;c4fTqZsGl-%=N6bN}Vywu+dxk5Ou#)-v0-jU{=%"
)


@pytest.fixture(params=["zip", "row"])
def torch_file(request, tmp_path):
    path = tmp_path / "model.pt"
    text = {"zip": ZIP, "row": ROW}[request.param]
    path.write_bytes(zlib.decompress(base64.b85decode(text)))
    return path


def test_what_torch_wrote_is_read(torch_file):
    whole = read_tensors(torch_file)
    assert set(whole) == {"step", "model", "version", "list"}
    assert whole["step"] == 3 and whole["version"] == "1.0"
    assert whole["list"] == [1.5, None, (True, "x")]
    model, w = whole["model"], np.arange(6.0).reshape(2, 3)
    expected = {
        "weight": w.T.astype("float32"),
        "slice": w[:, 1:].astype("float32"),
        "half": np.array([1.5, -2], "float16"),
        "bf16": np.array([1.5, -3], "float32"),
        "count": np.array(7),
        "mask": np.array([True, False]),
        "parameter": np.ones((2, 1), "float32"),
        "empty": np.zeros((0, 3), "float32"),
    }
    assert list(model) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(model[name], array)
        assert model[name].dtype == array.dtype
        model[name][...] = 0  # an array of its own, not a view of the file


class Harm:
    """What a malicious file holds: reading it with `pickle` would call `what`."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


def harmed(data):
    raise RuntimeError("a file was executed")


def storage_pickle(*tensor, storage="FloatStorage", size=4):
    """A pickle of one tensor with the given offset, shape and strides."""
    out = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(("
    out += pickle.dumps("storage", 2)[2:-1]
    out += b"ctorch\n" + storage.encode() + b"\n"
    for part in ("0", "cpu", size):
        out += pickle.dumps(part, 2)[2:-1]
    out += b"tQ"
    for part in tensor:
        out += pickle.dumps(part, 2)[2:-1]
    return out + b"tR."


def zip_with(path, content, *, data=bytes(16), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", content)
        archive.writestr("model/data/0", data, compression)


def row_with(path, content):
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [pickle.dumps(part, 2) for part in start]
    keys = pickle.dumps([], 2)
    path.write_bytes(b"".join(parts) + content + keys)


OPENER = b"\x80\x02"
HARMFUL = {
    "a call": pickle.dumps(Harm(harmed, 1), 2),
    "a call, protocol 4": pickle.dumps(Harm(harmed, 1), 4),
    "a builtin": pickle.dumps(Harm(eval, "1"), 2),
    "an object": pickle.dumps(io.BytesIO(b"x"), 2),
    "INST": OPENER + b"(I1\nios\nsystem\n.",
    "OBJ": OPENER + b"(cos\nsystem\nU\x02lso.",
    "NEWOBJ": OPENER + b"cbuiltins\ndict\n)\x81.",
    "BUILD": OPENER + b"}}U\x01aK\x01sb.",
    "BUILD of a maker": OPENER + b"ccollections\nOrderedDict\n}U\x01aK\x01sb.",
    "attributes of a maker": OPENER
    + b"ccollections\nOrderedDict\nN}U\x01aK\x01s\x86b.",
    "EXT1": OPENER + b"\x82\x01.",
    "PERSID": OPENER + b"Px\n.",
    "a tensor's maker of another module": OPENER + b"cos\n_rebuild_tensor_v2\n)R.",
    "a dict subclass": OPENER + b"ccollections\ndefaultdict\n)R.",
    "a method of a class": OPENER + b"cbuiltins\nstr.format\n(U\x01atR.",
}


@pytest.mark.parametrize("content", HARMFUL.values(), ids=HARMFUL)
@pytest.mark.parametrize("write", [zip_with, row_with])
def test_harm_is_refused_and_nothing_is_run(tmp_path, content, write, monkeypatch):
    path = tmp_path / "harm.pth"
    write(path, content)
    monkeypatch.setattr("os.system", harmed)
    with pytest.raises(TensorFileError, match="harm.pth: ") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "a file was executed" not in str(caught.value)


def test_no_module_is_imported(tmp_path, monkeypatch):
    (tmp_path / "harmful_module.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    for ending in (b".", b")R.", b")\x81."):
        zip_with(tmp_path / "a.pt", OPENER + b"charmful_module\nrun\n" + ending)
        with pytest.raises(TensorFileError, match="a.pt: "):
            read_tensors(tmp_path / "a.pt")


class Settings(dict):
    """Stands for a class that only the writer of a file has."""


def test_what_nobody_asked_for_is_inert(tmp_path):
    """Beside the weights lie numpy scalars, options, an optimizer, and harm."""
    options = argparse.Namespace(rate=0.1, names=["a"])
    whole = {
        "step": np.float64(0.5),
        "options": options,
        "optimizer": collections.defaultdict(dict, {0: {"step": 1}}),
        "settings": Settings(a=1),
        "harm": [Harm(harmed, 1), Harm(eval, "1/0")],
        "when": datetime.date(2026, 1, 1),
        "name": "model",
    }
    start = pickle.dumps(whole, 2)[:-2]  # without the end of the dict, and STOP
    tensor = storage_pickle(1, (2,), (2,))[2:-1]
    content = start + pickle.dumps("weight", 2)[2:-1] + tensor + b"u."
    zip_with(tmp_path / "a.pt", content, data=np.arange(4, dtype="<f4").tobytes())
    state = read_tensors(tmp_path / "a.pt")
    np.testing.assert_array_equal(state["weight"], [1, 3])
    assert state["name"] == "model" and set(state) == {*whole, "weight"}
    skipped = [state[k] for k in ("step", "options", "optimizer", "settings", "when")]
    assert all(isinstance(v, Skipped) for v in [*skipped, *state["harm"]])
    assert "argparse.Namespace" in repr(state["options"])
    assert not vars(state["options"]) and not hasattr(Skipped, "rate")
    with pytest.raises((TypeError, ValueError)):
        np.asarray(state["step"]).astype("float32")


def test_a_pickle_cannot_ask_for_memory(tmp_path):
    """Python would make room for 4 billion objects, 34 GB."""
    zip_with(tmp_path / "a.pt", OPENER + b"Nr\xff\xff\xff\xff.")
    with pytest.raises(TensorFileError, match="counts wrongly"):
        read_tensors(tmp_path / "a.pt")


def test_a_tensor_made_by_hand(tmp_path):
    path, data = tmp_path / "a.pt", np.arange(4, dtype="<f4").tobytes()
    zip_with(path, storage_pickle(1, (2,), (2,)), data=data)
    np.testing.assert_array_equal(read_tensors(path), [1, 3])


@pytest.mark.parametrize(
    "content, options",
    [
        (storage_pickle(1, (4,), (1,)), {}),  # beyond the storage
        (storage_pickle(0, (1 << 40,), (0,)), {}),  # a terabyte of one value
        (storage_pickle(-1, (2,), (1,)), {}),
        (storage_pickle(0, (2,), (-1,)), {}),
        (storage_pickle(0, (2,), (1, 1)), {}),
        (storage_pickle(0, (4,), (1,), storage="UntypedStorage"), {}),
        (storage_pickle(0, (4,), (1,)), {"data": bytes(12)}),  # cut short
        (storage_pickle(0, (4,), (1,)), {"compression": zipfile.ZIP_DEFLATED}),
        (b"", {}),
        (OPENER + b"h\x05.", {}),  # a reference to nothing
        (OPENER + b"(.", {}),
        (OPENER + b"t.", {}),
        (OPENER + b"(" + b"l" * 3 + b".", {}),
        (OPENER + b"}K\x01s.", {}),
        (OPENER + b"]" + b"\x85" * 100_000 + b".", {}),  # deeper than the stack
    ],
)
def test_what_is_broken_is_one_clear_line(tmp_path, content, options):
    path = tmp_path / "broken.pt"
    zip_with(path, content, **options)
    with pytest.raises(TensorFileError, match="broken.pt") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "row"])
def test_a_file_cut_anywhere_is_an_error(tmp_path, kind):
    content = zlib.decompress(base64.b85decode({"zip": ZIP, "row": ROW}[kind]))
    path = tmp_path / "cut.pt"
    for end in range(0, len(content) - 1, 13):
        path.write_bytes(content[:end])
        with pytest.raises(TensorFileError, match="cut.pt"):
            read_tensors(path)


def test_a_list_that_holds_itself_ends(tmp_path):
    path = tmp_path / "loop.pt"
    zip_with(path, OPENER + b"]q\x00h\x00a.")
    assert read_tensors(path) == [None]


def test_npz_and_safetensors(tmp_path):
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array([1, -2])}
    np.savez(tmp_path / "a.npz", **arrays)
    header = (
        b'{"__metadata__":{"format":"pt"},'
        b'"b":{"dtype":"I64","shape":[2],"data_offsets":[24,40]},'
        b'"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
        b'"c":{"dtype":"BF16","shape":[1],"data_offsets":[40,42]}}'
    )
    body = arrays["a"].tobytes() + arrays["b"].tobytes() + b"\xc0\x3f"
    whole = struct.pack("<Q", len(header)) + header + body
    (tmp_path / "a.safetensors").write_bytes(whole)
    for name in ("a.npz", "a.safetensors"):
        found = read_tensors(tmp_path / name)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype
    assert found["c"] == [1.5]
    (tmp_path / "cut.safetensors").write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="cut.safetensors: cannot be read"):
        read_tensors(tmp_path / "cut.safetensors")


def test_an_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "harm.npz", a=np.array([Harm(harmed, 1)], object))
    with pytest.raises(ValueError, match="harm.npz: cannot be read"):
        read_tensors(tmp_path / "harm.npz")


@pytest.mark.parametrize("name", ["none.pt", "none.npz", "none.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: no such file"):
        read_tensors(tmp_path / name)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="a.txt: unknown kind"):
        read_tensors(tmp_path / "a.txt")


@pytest.mark.parametrize(
    "storage, width",
    [("ComplexFloatStorage", 8), ("QInt8Storage", 1), ("QInt32Storage", 4)],
)
def test_numbers_that_are_not_read_are_inert_beside_the_others(
    tmp_path, storage, width
):
    """In torch's format before 1.6, where their bytes have to be passed over."""
    odd = storage_pickle(0, (4,), (1,), storage=storage)[2:-1]
    weight = storage_pickle(0, (2,), (1,), size=2)[2:-1]
    weight = weight.replace(b"X\1\0\0\0" + b"0", b"X\1\0\0\0" + b"1", 1)
    content = b"\x80\x02}(U\x03odd" + odd + b"U\x06weight" + weight + b"u."
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [pickle.dumps(part, 2) for part in start]
    parts += [content, pickle.dumps(["0", "1"], 2)]
    parts += [(4).to_bytes(8, "little"), bytes(4 * width)]
    parts += [(2).to_bytes(8, "little"), np.array([5, 7], "<f4").tobytes()]
    (tmp_path / "a.pt").write_bytes(b"".join(parts))
    state = read_tensors(tmp_path / "a.pt")
    np.testing.assert_array_equal(state["weight"], [5, 7])
    assert isinstance(state["odd"], Skipped)


def test_a_whole_network_beside_the_weights_is_inert(tmp_path):
    """Torch gives a network's class, file and source a place outside the pickle."""
    network = b"(U\x06modulecmodels\nNet\nU\x06net.pyU\x06class tQ)\x81}U\x01aK\x01sb"
    weight = storage_pickle(0, (2,), (1,))[2:-1]
    content = b"\x80\x02}(U\x03net" + network + b"U\x06weight" + weight + b"u."
    zip_with(tmp_path / "a.pt", content, data=np.arange(4, dtype="<f4").tobytes())
    state = read_tensors(tmp_path / "a.pt")
    np.testing.assert_array_equal(state["weight"], [0, 1])
    assert "models.Net" in repr(state["net"])
