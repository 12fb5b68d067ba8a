// CRC-64 as Redis computes it (Jones polynomial, reflected), in the eight bytes that end a payload of DUMP.
const POLYNOMIAL = 0x95ac9329ac4bc9b5n;
const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let crc = BigInt(byte);
  for (let i = 0; i < 8; i++) {
    crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
  }
  return crc;
});

export function crc64(bytes) {
  let crc = 0n;
  for (const byte of bytes) {
    crc = TABLE[Number((crc ^ BigInt(byte)) & 0xffn)] ^ (crc >> 8n);
  }
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(crc);
  return out;
}

// The payload with a checksum that is right for what it says.
export function resealed(payload) {
  return Buffer.concat([payload.subarray(0, -8), crc64(payload.subarray(0, -8))]);
}
