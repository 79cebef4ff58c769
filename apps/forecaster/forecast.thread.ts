// The thread of ForecastThread: one memory per pool.
import { parentPort } from 'node:worker_threads';
import { forecastStep, newForecastMemory, type Forecast, type ForecastMemory } from '#domain/forecasting';
import type { ForecastStep, FromForecastThread, ToForecastThread } from './forecast-thread.js';

const port = parentPort!;
const memories = new Map<string, ForecastMemory>();

function stepPool({ settings, closed }: ForecastStep): Forecast | undefined {
  const before = memories.get(settings.pool) ?? newForecastMemory(settings);
  const { output, memory } = forecastStep({ settings, closed }, before);
  memories.set(settings.pool, memory);
  return output;
}

/** A pool whose step fails is forgotten: it may have learned half of it. The others go on. */
function answer({ id, steps }: Extract<ToForecastThread, { kind: 'step' }>): FromForecastThread {
  const reply: FromForecastThread = { id, forecasts: [], failed: [] };
  for (const step of steps) {
    if (reply.failed.some(({ pool }) => pool === step.settings.pool)) continue;
    try {
      const forecast = stepPool(step);
      if (forecast !== undefined) reply.forecasts.push(forecast);
    } catch (error) {
      memories.delete(step.settings.pool);
      reply.failed.push({ pool: step.settings.pool, message: String((error as Error).stack) });
    }
  }
  return reply;
}

port.on('message', (message: ToForecastThread) => {
  if (message.kind === 'step') port.postMessage(answer(message));
  else for (const pool of message.pools) memories.delete(pool);
});
