import { run } from './command.js';
import { installPackages } from './debian.js';
import { type Part, PartRefused } from './part.js';

const VERSION_WITHIN_MS = 30_000;

/** What most programs print their version for. */
export const printedVersion = (program: string): Promise<string> =>
  run([program, '--version'], { withinMs: VERSION_WITHIN_MS });

/** A part that the system's package manager keeps: what is installed is used, when it is new enough. */
export function installedPart(server: {
  name: string;
  /** Its program, undefined when it is not on this machine. */
  locate: () => string | undefined;
  /** A text with its version. */
  version: (program: string) => Promise<string>;
  /** The first version that will do, `major.minor`. */
  oldest: string;
  /** Of Debian. */
  packages: readonly string[];
}): Part {
  const { name, locate, version, oldest, packages } = server;
  return {
    name,
    find: async () => {
      const program = locate();
      if (program === undefined) return undefined;
      const text = await version(program);
      const found = /\d+(\.\d+)+/.exec(text)?.[0] ?? text;
      if (isOlder(found, oldest))
        throw new PartRefused(`${name}: must be ${oldest} or newer, got ${found} (${program})`);
      return `${name} ${found}, ${program}`;
    },
    obtain: (say) => installPackages(packages, say),
  };
}

function isOlder(found: string, oldest: string): boolean {
  const [a, b] = [found, oldest].map((version) => version.split('.').map(Number)) as [number[], number[]];
  const differs = b.findIndex((number, i) => a[i] !== number);
  return differs !== -1 && !((a[differs] ?? 0) > (b[differs] as number));
}
