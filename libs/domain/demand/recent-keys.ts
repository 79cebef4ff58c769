/** Places at first; a power of two, as every capacity is. */
const FIRST_CAPACITY = 64;
/** 32-bit words of a hash that are kept. */
const WORDS = 3;

/** Of hash, time and index, when half of the places are in use: with fewer there are not made more. */
export const MAX_BYTES_PER_KEY = 2 * (4 * WORDS + 8 + 2 * 4);

/**
 * Keys with the time they were told of last, oldest first: what a Map would hold, in a tenth of the memory and nothing
 * of it for the garbage collector to look at. A key is its hash of 96 bits: among 300,000 keys a new one is taken for
 * another with a probability of 4 · 10⁻²⁴.
 *
 *   queue    hash and time of each telling, in order of time, in a ring; one that is told again leaves a stale place
 *   index    hash → place of its latest telling; open addressing, linear probing
 */
export class RecentKeys {
  private hashes = new Uint32Array(WORDS * FIRST_CAPACITY);
  private toldMs = new Float64Array(FIRST_CAPACITY);
  /** Place + 1; 0 = free. Twice as long as the queue, so that a search is short. */
  private index = new Int32Array(2 * FIRST_CAPACITY);
  private capacity = FIRST_CAPACITY;
  private first = 0;
  /** Places in use, stale ones among them. */
  private used = 0;
  private live = 0;
  /** What was hashed last: a key is looked for before it is told of. */
  private hashedKey = '';
  private readonly hashed = new Uint32Array(WORDS);

  constructor() {
    hashInto('', this.hashed);
  }

  get size(): number {
    return this.live;
  }

  has(key: string): boolean {
    this.hash(key);
    return this.index[this.slot()] !== 0;
  }

  /** The key was told of at a time, which is never before that of an earlier telling. */
  tell(key: string, atMs: number): void {
    this.hash(key);
    const { hashed } = this;
    if (this.used === this.capacity) this.makeRoom();
    this.put(hashed[0] as number, hashed[1] as number, hashed[2] as number, atMs);
  }

  /**
   * Forgets what was last told of before a time or then, and the oldest beyond so many: those are forgotten `early`.
   * `toMs` is the latest time of one that was forgotten.
   */
  forget(beforeMs: number, maxKeys: number): { early: number; toMs: number } {
    let early = 0;
    let toMs = -Infinity;
    while (this.used > 0) {
      const slot = this.slotOf(this.first);
      const isStale = this.index[slot] !== this.first + 1;
      const atMs = this.toldMs[this.first] as number;
      if (!isStale && atMs > beforeMs && this.live <= maxKeys) break;
      if (!isStale) {
        if (atMs > beforeMs) early++;
        toMs = atMs;
        this.free(slot);
        this.live--;
      }
      this.first = (this.first + 1) & (this.capacity - 1);
      this.used--;
    }
    return { early, toMs };
  }

  /** Hash and time of every key, oldest first: equal for two that know the same. */
  *told(): Generator<[hash: string, toldMs: number]> {
    for (let i = 0; i < this.used; i++) {
      const place = (this.first + i) & (this.capacity - 1);
      if (this.index[this.slotOf(place)] !== place + 1) continue;
      const words = this.hashes.subarray(WORDS * place, WORDS * (place + 1));
      yield [words.join(), this.toldMs[place] as number];
    }
  }

  private hash(key: string): void {
    if (key === this.hashedKey) return;
    hashInto(key, this.hashed);
    this.hashedKey = key;
  }

  /** Where the index has what was hashed last, or has room for it. */
  private slot(): number {
    const { hashed } = this;
    return this.find(hashed[0] as number, hashed[1] as number, hashed[2] as number);
  }

  private slotOf(place: number): number {
    const { hashes } = this;
    const at = WORDS * place;
    return this.find(hashes[at] as number, hashes[at + 1] as number, hashes[at + 2] as number);
  }

  private find(a: number, b: number, c: number): number {
    const { index, hashes } = this;
    const mask = index.length - 1;
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      const at = WORDS * ((index[slot] as number) - 1);
      if (at < 0 || (hashes[at] === a && hashes[at + 1] === b && hashes[at + 2] === c)) return slot;
    }
  }

  private put(a: number, b: number, c: number, atMs: number): void {
    const place = (this.first + this.used++) & (this.capacity - 1);
    const slot = this.find(a, b, c);
    if (this.index[slot] === 0) this.live++;
    this.hashes[WORDS * place] = a;
    this.hashes[WORDS * place + 1] = b;
    this.hashes[WORDS * place + 2] = c;
    this.toldMs[place] = atMs;
    this.index[slot] = place + 1;
  }

  /** Those behind it in its run move up, as far as where they belong: no search may end at the gap. */
  private free(slot: number): void {
    const { index, hashes } = this;
    const mask = index.length - 1;
    let gap = slot;
    for (let next = (gap + 1) & mask; index[next] !== 0; next = (next + 1) & mask) {
      const home = (hashes[WORDS * ((index[next] as number) - 1)] as number) & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      index[gap] = index[next] as number;
      gap = next;
    }
    index[gap] = 0;
  }

  /** Without stale places; twice as large when there are few of them. */
  private makeRoom(): void {
    const before = { ...this };
    const { hashes, toldMs } = before;
    const isStale = new Uint8Array(before.capacity);
    for (let place = 0; place < before.capacity; place++)
      isStale[place] = this.index[this.slotOf(place)] === place + 1 ? 0 : 1;
    this.capacity = this.live > before.capacity / 2 ? 2 * before.capacity : before.capacity;
    this.hashes = new Uint32Array(WORDS * this.capacity);
    this.toldMs = new Float64Array(this.capacity);
    this.index = new Int32Array(2 * this.capacity);
    this.first = this.used = this.live = 0;
    for (let i = 0; i < before.used; i++) {
      const place = (before.first + i) & (before.capacity - 1);
      if (isStale[place] === 1) continue;
      const at = WORDS * place;
      const [a, b, c] = [hashes[at] as number, hashes[at + 1] as number, hashes[at + 2] as number];
      this.put(a, b, c, toldMs[place] as number);
    }
  }
}

const [C1, C2, C3, C4] = [0x239b961b, 0xab0e9789, 0x38b34ae5, 0xa1e38b93];

/**
 * MurmurHash3 for 32-bit machines, 128 bits (Appleby, 2011), over UTF-16 units, two a word. Its tail is a block filled up
 * with zeros; the length, which is mixed in, tells it from one that is so.
 */
function hashInto(key: string, into: Uint32Array): void {
  const { length } = key;
  let h1 = 0;
  let h2 = 0;
  let h3 = 0;
  let h4 = 0;
  for (let i = 0; i < length; i += 8) {
    h1 ^= Math.imul(rotated(Math.imul(wordAt(key, i), C1), 15), C2);
    h1 = (Math.imul(rotated(h1, 19) + h2, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul(rotated(Math.imul(wordAt(key, i + 2), C2), 16), C3);
    h2 = (Math.imul(rotated(h2, 17) + h3, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul(rotated(Math.imul(wordAt(key, i + 4), C3), 17), C4);
    h3 = (Math.imul(rotated(h3, 15) + h4, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul(rotated(Math.imul(wordAt(key, i + 6), C4), 18), C1);
    h4 = (Math.imul(rotated(h4, 13) + h1, 5) + 0x32ac3b17) | 0;
  }
  const sum = (h1 ^ length) + (h2 ^ length) + (h3 ^ length) + (h4 ^ length);
  h1 = mixed(sum);
  h2 = mixed((h2 ^ length) + sum);
  h3 = mixed((h3 ^ length) + sum);
  h4 = mixed((h4 ^ length) + sum);
  const all = h1 + h2 + h3 + h4;
  into[0] = all;
  into[1] = h2 + all;
  into[2] = h3 + all;
}

function wordAt(key: string, i: number): number {
  if (i + 1 < key.length) return key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16);
  return i < key.length ? key.charCodeAt(i) : 0;
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function mixed(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
