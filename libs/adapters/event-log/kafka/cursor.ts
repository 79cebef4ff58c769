/** Reads Kafka's types from bytes, one after the other. Offsets and times are numbers: they stay below 2^53. */
export class Cursor {
  constructor(
    private readonly bytes: Buffer,
    public at = 0,
  ) {}

  int8(): number {
    return this.bytes.readInt8(this.advance(1));
  }

  int16(): number {
    return this.bytes.readInt16BE(this.advance(2));
  }

  int32(): number {
    return this.bytes.readInt32BE(this.advance(4));
  }

  int64(): number {
    const at = this.advance(8);
    return this.bytes.readInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4);
  }

  bigInt64(): bigint {
    return this.bytes.readBigInt64BE(this.advance(8));
  }

  /** Zigzag, at most 32 bits. */
  varint(): number {
    let byte = this.bytes[this.at++] as number;
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = this.bytes[this.at++] as number;
      value |= (byte & 0x7f) << shift;
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** Zigzag, of more than 32 bits in rare cases. */
  varlong(): number {
    let byte = this.bytes[this.at++] as number;
    let value = byte & 0x7f;
    for (let factor = 0x80; byte >= 0x80; factor *= 0x80) {
      byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * factor;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A varint length and that many bytes of UTF-8; null when the length is negative. */
  text(): string | null {
    const length = this.varint();
    if (length < 0) return null;
    const from = this.advance(length);
    return this.bytes.toString('utf8', from, this.at);
  }

  /** What {@link text} would read. */
  skipText(): void {
    this.skip(Math.max(0, this.varint()));
  }

  /** A 16-bit length and that many bytes of UTF-8. */
  shortText(): string {
    const length = this.int16();
    const from = this.advance(length);
    return this.bytes.toString('utf8', from, this.at);
  }

  /** A 32-bit length and that many bytes; empty when it is null. */
  bytes32(): Buffer {
    const length = Math.max(0, this.int32());
    const from = this.advance(length);
    return this.bytes.subarray(from, this.at);
  }

  /** A 32-bit count and that many things; none when it is null. */
  array<T>(read: (cursor: Cursor) => T): T[] {
    const things: T[] = [];
    for (let left = this.int32(); left > 0; left--) things.push(read(this));
    return things;
  }

  skip(bytes: number): void {
    this.advance(bytes);
  }

  moveTo(at: number): void {
    this.at = at;
    if (!(at >= 0 && at <= this.bytes.length)) throw new Error('Kafka: records must be whole, got a piece');
  }

  private advance(bytes: number): number {
    const from = this.at;
    this.moveTo(from + bytes);
    return from;
  }
}
