/** A file that the settings name cannot be read. */
export class UnreadableSecret extends Error {
  override name = 'UnreadableSecret';
}
