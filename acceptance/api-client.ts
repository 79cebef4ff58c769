export interface Answer<T> {
  status: number;
  headers: Headers;
  body: T;
}

export interface Sent {
  /** JSON. */
  body?: unknown;
  /** Instead of `body`: exactly this text. */
  text?: string;
  headers?: Record<string, string>;
}

export interface Page<T> {
  items: T[];
  nextCursor: number | null;
}

/** The API as an operator's script uses it. `T` is what the caller expects; the test says whether it came. */
export class ApiClient {
  constructor(
    readonly url: string,
    private readonly token?: string,
  ) {}

  async send<T>(method: string, path: string, { body, text, headers }: Sent = {}): Promise<Answer<T>> {
    const content = text ?? (body === undefined ? undefined : JSON.stringify(body));
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
        ...(content !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(content !== undefined && { body: content }),
    });
    const received = await answer.text();
    const isJson = /json/.test(answer.headers.get('content-type') ?? '');
    const parsed = (isJson ? JSON.parse(received) : received) as T;
    return { status: answer.status, headers: answer.headers, body: parsed };
  }

  get<T>(path: string): Promise<Answer<T>> {
    return this.send('GET', path);
  }

  /** Every item of a series, page by page, newest first. */
  async all<T>(path: string, limit = 500): Promise<T[]> {
    const items: T[] = [];
    let cursor: number | null = null;
    do {
      const place: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await this.get<Page<T>>(`${path}?limit=${limit}${place}`);
      items.push(...body.items);
      cursor = body.nextCursor;
    } while (cursor !== null);
    return items;
  }

  /** Samples of /metrics: `name{label="value"}` → value. */
  async metrics(): Promise<Map<string, number>> {
    const { body } = await this.get<string>('/metrics');
    const samples = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
    );
  }
}
