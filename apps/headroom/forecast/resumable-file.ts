import { open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { deserialize, serialize } from 'node:v8';

/** Where an unfinished file stands: how long it was when `state` was all that is needed to go on. */
interface Standing<T> {
  key: string;
  bytes: number;
  state: T;
}

export type OpenedFile<T> =
  { ok: true; file: ResumableFile<T>; state: T | undefined } | { ok: false; problem: string; hint: string };

/** Text is collected up to this many characters before it is written. */
const PIECE_CHARACTERS = 1_000_000;

/**
 * A text file that is written from its beginning to its end, and goes on where it stood when the writer was ended in
 * between. Until it is complete, a file `….resume` lies beside it.
 */
export class ResumableFile<T> {
  private text = '';

  private constructor(
    private readonly path: string,
    private readonly key: string,
    private readonly handle: FileHandle,
    private bytes: number,
  ) {}

  /** `key` tells what the file is made of: what was begun of something else is not gone on with. */
  static async open<T>(path: string, key: string): Promise<OpenedFile<T>> {
    try {
      const standing = await readStanding<T>(path);
      if (standing !== undefined && standing.key !== key) return isAnothers(path);
      if (standing === undefined && (await isWritten(path))) return isComplete(path);
      const handle = await open(path, standing === undefined ? 'w' : 'r+');
      const bytes = standing?.bytes ?? 0;
      await handle.truncate(bytes);
      return { ok: true, file: new ResumableFile<T>(path, key, handle, bytes), state: standing?.state };
    } catch (error) {
      const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
      const hint = 'name a file in a folder that is there and may be written';
      return { ok: false, problem: `${path}: must be a file to write, got ${actual}`, hint };
    }
  }

  async append(text: string): Promise<void> {
    this.text += text;
    if (this.text.length >= PIECE_CHARACTERS) await this.flush();
  }

  /** From here the next one goes on. */
  async keep(state: T): Promise<void> {
    await this.flush();
    await this.handle.sync();
    const standing: Standing<T> = { key: this.key, bytes: this.bytes, state };
    const beside = await open(`${standingPath(this.path)}.part`, 'w');
    await beside.writeFile(serialize(standing));
    await beside.sync();
    await beside.close();
    await rename(`${standingPath(this.path)}.part`, standingPath(this.path));
  }

  /** It is complete. */
  async finish(): Promise<void> {
    await this.flush();
    await this.handle.sync();
    await this.close();
    await rm(standingPath(this.path), { force: true });
  }

  /** It is not: what was kept last stands. */
  async close(): Promise<void> {
    await this.handle.close();
  }

  private async flush(): Promise<void> {
    const bytes = Buffer.from(this.text);
    this.text = '';
    await this.handle.write(bytes, 0, bytes.length, this.bytes);
    this.bytes += bytes.length;
  }
}

const standingPath = (path: string) => `${path}.resume`;

async function readStanding<T>(path: string): Promise<Standing<T> | undefined> {
  try {
    return deserialize(await readFile(standingPath(path))) as Standing<T>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function isWritten(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return undefined;
  });
  return found !== undefined && found.size > 0;
}

function isComplete(path: string): OpenedFile<never> {
  const hint = 'remove it, or name another file';
  return { ok: false, problem: `${path}: must be new or unfinished, got a complete one`, hint };
}

function isAnothers(path: string): OpenedFile<never> {
  return {
    ok: false,
    problem: `${path}: must be unfinished of this trace and these options, got one of others`,
    hint: `remove it and ${standingPath(path)}, or name another file`,
  };
}
