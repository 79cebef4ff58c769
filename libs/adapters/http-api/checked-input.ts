import { Body, Param, Query, type PipeTransform } from '@nestjs/common';
import type { z } from 'zod';
import { checkInput, formatProblem, isDeeperThan } from '#adapters/input-problems';
import { problem } from './problem.js';

/** Arrays and objects inside each other; a deeper body would exhaust the stack of whoever walks it. */
const MAX_BODY_LEVELS = 64;

/**
 * Parameter decorator: the body, checked and with its defaults. 422 lists every place that is wrong, 400 when it has
 * more levels than `maxLevels`: a route that checks the levels itself names Infinity.
 */
export function FromBody(
  schema: z.ZodType,
  { maxLevels = MAX_BODY_LEVELS }: { maxLevels?: number } = {},
): ParameterDecorator {
  return Body(new LevelsPipe(maxLevels), new InputPipe(schema, { place: 'body', status: 422 }));
}

/** Parameter decorator: the query as one object. Values are text: use z.coerce for numbers. 400 when wrong. */
export function FromQuery(schema: z.ZodType): ParameterDecorator {
  return Query(new InputPipe(schema, { place: 'query', status: 400 }));
}

/** Parameter decorator: the path's parameters as one object. 400 when wrong. */
export function FromParams(schema: z.ZodType): ParameterDecorator {
  return Param(new InputPipe(schema, { place: 'path', status: 400 }));
}

class LevelsPipe implements PipeTransform {
  constructor(private readonly maxLevels: number) {}

  transform(value: unknown): unknown {
    const { maxLevels } = this;
    if (maxLevels === Infinity || !isDeeperThan(value, maxLevels)) return value;
    throw problem(400, {
      name: 'malformed-request',
      detail: `body: must have at most ${maxLevels} levels of arrays and objects, got more`,
    });
  }
}

class InputPipe implements PipeTransform {
  constructor(
    private readonly schema: z.ZodType,
    private readonly input: { place: 'body' | 'query' | 'path'; status: 400 | 422 },
  ) {}

  transform(value: unknown): unknown {
    const { place, status } = this.input;
    const checked = checkInput(this.schema, value);
    if (checked.ok) return checked.value;
    throw problem(status, {
      name: 'invalid-input',
      detail: `${place}: ${formatProblem(checked.problems[0]!)}`,
      errors: checked.problems,
    });
  }
}
