import { unescape } from 'node:querystring';
import { connect, credentials, type ChannelModel } from 'amqplib';

const CONNECT_MS = 5_000;
/** A connection that says nothing for two of these is dead. */
const HEARTBEAT_S = 10;

/**
 * A connection to a broker at amqp:// or amqps:// (TLS), with user and password in the address; rejects when there is
 * none in time. The library itself would take what is encoded there for Latin-1.
 */
export function connectTo(url: string): Promise<ChannelModel> {
  const address = new URL(url);
  if (!address.searchParams.has('heartbeat')) address.searchParams.set('heartbeat', String(HEARTBEAT_S));
  const { username, password } = address;
  const isGuest = username === '' && password === '';
  return connect(address.href, {
    timeout: CONNECT_MS,
    ...(!isGuest && { credentials: credentials.plain(unescape(username), unescape(password)) }),
  });
}
