/**
 * `discard`: our client, nothing else. `parse`: and JSON.parse. `kafkajs`: the library's own consumer, and JSON.parse.
 * `nest`: a handler of NestJS's own Kafka transport.
 */
export type Reader = 'discard' | 'parse' | 'kafkajs' | 'nest';

/** How far a reader was at a time. */
export interface Sighting {
  events: number;
  atMs: number;
  /** All threads. */
  cpuS: number;
  rssMb: number;
}

export interface Figures {
  events: number;
  eventsPerS: number;
  cpuUsPerEvent: number;
  rssMb: number;
}

/** The first events are for the compiler. */
const WARM_UP_RATIO = 0.1;

/** Between the sighting at a tenth of the events and the last one before all were read, or as many as were wanted. */
export function figuresOf(sightings: Sighting[], wanted: number): Figures {
  const first = sightings.find(({ events }) => events >= WARM_UP_RATIO * wanted);
  const last = sightings.findLast(({ events }) => events < wanted) ?? sightings.at(-1);
  if (first === undefined || last === undefined || last.events <= first.events)
    throw new Error(
      `bench:ingest: events must take long enough to be looked at twice, got ${wanted} too soon`,
    );
  const events = last.events - first.events;
  return {
    events,
    eventsPerS: (events * 1000) / (last.atMs - first.atMs),
    cpuUsPerEvent: ((last.cpuS - first.cpuS) * 1e6) / events,
    rssMb: Math.max(...sightings.map(({ rssMb }) => rssMb)),
  };
}
