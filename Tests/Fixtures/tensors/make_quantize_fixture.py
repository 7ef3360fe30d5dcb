"""Makes quantize.json with ggml's own reference quantisers: make_quantize_fixture.py PATH-OF-libggml-base.so"""

import ctypes, json, random, struct, sys
lib=ctypes.CDLL(sys.argv[1])
lib.ggml_quantize_chunk.restype=ctypes.c_size_t
lib.ggml_quantize_chunk.argtypes=[ctypes.c_int,ctypes.c_void_p,ctypes.c_void_p]+[ctypes.c_int64]*3+[ctypes.c_void_p]
random.seed(7)
rows=[]
for k in range(8):
    s=[1,0.02,5,1e-3,0.3,1e-9,100,1][k]
    rows.append([random.gauss(0,s) if k!=7 else random.gauss(0.5,0.1) for _ in range(256)])
rows.append([0.0]*256); rows.append([0.5]*256); rows.append([-0.25 if i%3 else 1.5 for i in range(256)])
rows.append([random.gauss(0,1)**3 for _ in range(256)])
flat=[struct.unpack('<f',struct.pack('<f',x))[0] for r in rows for x in r]
src=(ctypes.c_float*len(flat))(*flat)
bits=list(struct.unpack('<%dI'%len(flat),struct.pack('<%df'%len(flat),*flat)))
out={'columns':256,'rows':len(rows),'float_bits':bits,'types':{}}
for n,(t,bs,bb) in {'q8_0':(8,32,34),'q4_0':(2,32,18),'q4_1':(3,32,20),'q5_0':(6,32,22),'q5_1':(7,32,24),'q4_k':(12,256,144),'q5_k':(13,256,176),'q6_k':(14,256,210)}.items():
    size=len(flat)//bs*bb
    dst=(ctypes.c_uint8*size)()
    assert lib.ggml_quantize_chunk(t,src,dst,0,len(rows),256,None)==size
    out['types'][n]={'type':t,'bytes':bytes(dst).hex()}
# iq4_nl for dequantisation
size=len(flat)//32*18; dst=(ctypes.c_uint8*size)(); lib.ggml_quantize_chunk(20,src,dst,0,len(rows),256,None)
json.dump(out,open('quantize.json','w'))
d=bytes(dst)
kv=[-127,-104,-83,-65,-49,-35,-22,-10,1,13,25,38,53,69,89,113]
fl=[]
n=4*8
for b in range(n):
    blk=d[b*18:b*18+18]; dd=struct.unpack('<e',blk[:2])[0]
    for i in range(32):
        q=blk[2+i%16]; q=q&15 if i<16 else q>>4
        fl.append(struct.unpack('<f',struct.pack('<f',dd*kv[q]))[0])
# cross-check with ggml's own to_float
try:
    lib.dequantize_row_iq4_nl.argtypes=[ctypes.c_void_p,ctypes.c_void_p,ctypes.c_int64]
    o=(ctypes.c_float*(n*32))(); lib.dequantize_row_iq4_nl(dst,o,n*32); assert list(o)==fl; print('iq4_nl equal to ggml')
except AttributeError as e: print(e)
json.dump({'type':20,'rows':4,'columns':256,'bytes':d[:n*18].hex(),'float_bits':list(struct.unpack('<%dI'%len(fl),struct.pack('<%df'%len(fl),*fl)))},open('iq4_nl.json','w'))
