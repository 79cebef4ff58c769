import type { Socket } from 'node:net';
import type { ISocketFactory } from 'kafkajs';

/**
 * The connections of one event log. The library may connect once more for what it was asked before it was told to
 * disconnect; nothing of that outlives the log.
 */
export class Connections {
  private readonly open = new Set<Socket>();
  private isClosed = false;

  constructor(private readonly make: ISocketFactory) {}

  readonly factory: ISocketFactory = (given) => {
    const socket = this.make(given);
    this.open.add(socket);
    socket.once('close', () => this.open.delete(socket));
    if (this.isClosed) end(socket);
    return socket;
  };

  /** Ends those there are, and all that are made later. */
  close(): void {
    this.isClosed = true;
    for (const socket of this.open) end(socket);
  }
}

function end(socket: Socket): void {
  socket.destroy(new Error('the event log is closed'));
}
