import { z } from 'zod';
import { PROBLEM_MEDIA_TYPE, problemSchema } from './problem.js';
import type { Refusal, Route } from './route-table.js';

type Json = Record<string, unknown>;

const PROBLEM_CONTENT = { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } };

/** The OpenAPI 3.1 document of a route table, from the schemas that check the requests. Pure; JSON. */
export function openApiOf(
  routes: readonly Route[],
  info: { title: string; version: string; description?: string },
): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const address = route.path.replace(/:(\w+)/g, '{$1}');
    paths[address] = { ...paths[address], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info,
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        ...proofScheme(routes),
      },
      schemas: { Problem: jsonSchema(problemSchema, 'output') },
    },
  };
}

function operationOf(route: Route): Json {
  const parameters = [
    ...parametersOf(route.params, 'path'),
    ...parametersOf(route.query, 'query'),
    ...Object.entries(route.requestHeaders ?? {}).map(([name, description]) => ({
      name,
      in: 'header',
      description,
      schema: { type: 'string' },
    })),
  ];
  return {
    operationId: operationId(route),
    summary: route.summary,
    security: securityOf(route),
    ...(parameters.length > 0 && { parameters }),
    ...(route.body !== undefined && {
      requestBody: { required: true, content: bodyContent(route, route.body) },
    }),
    responses: responsesOf(route),
  };
}

function securityOf({ scope, proof }: Route): Json[] {
  if (scope === 'public') return [];
  return [{ token: [scope] }, ...(proof === undefined ? [] : [{ proof: [] }])];
}

/** OpenAPI has no word for signatures; the name of the header is configuration. */
function proofScheme(routes: readonly Route[]): Json {
  const description = routes.find(({ proof }) => proof !== undefined)?.proof;
  return description === undefined
    ? {}
    : { proof: { type: 'apiKey', in: 'header', name: 'configured', description } };
}

function parametersOf(schema: z.ZodObject | undefined, place: 'path' | 'query'): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...inner }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema: inner,
  }));
}

function bodyContent(route: Route, body: z.ZodType): Json {
  const schema = jsonSchema(body, 'input');
  return Object.fromEntries((route.accepts ?? ['application/json']).map((type) => [type, { schema }]));
}

function responsesOf(route: Route): Json {
  const headers = Object.entries(route.responseHeaders ?? {}).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ]);
  const success: Json = {
    description: 'Success.',
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
    ...(route.response !== undefined && {
      content: { [route.produces ?? 'application/json']: { schema: jsonSchema(route.response, 'output') } },
    }),
  };
  const refusals = Object.entries(refusalsOf(route)).map(([status, refusal]) => [
    status,
    typeof refusal === 'string'
      ? { description: refusal, content: PROBLEM_CONTENT }
      : {
          description: refusal.description,
          content: { 'application/json': { schema: jsonSchema(refusal.response, 'output') } },
        },
  ]);
  return { [route.status ?? 200]: success, ...Object.fromEntries(refusals) };
}

function refusalsOf(route: Route): Record<string, Refusal> {
  const guarded = route.scope !== 'public';
  const hasBody = route.body !== undefined;
  const hasInput = hasBody || route.params !== undefined || route.query !== undefined;
  return {
    ...(hasInput && { 400: 'The path, the query or the syntax of the body is wrong.' }),
    ...(guarded && { 401: 'No valid token.', 403: `The token does not allow ${route.scope}.` }),
    ...(hasBody && {
      413: 'The body is too large.',
      415: 'The media type is not accepted.',
      422: 'The body is wrong.',
      503: 'There is no room for another body; send the same again after Retry-After.',
    }),
    ...(route.refusals as Record<string, Refusal> | undefined),
    default: 'Anything else that went wrong.',
  };
}

/** get /v1/pools/:pool/demand → getPoolsByPoolDemand: stable, unique, readable in generated clients. */
function operationId({ method, path }: Route): string {
  const words = path
    .split('/')
    .filter((part) => part !== '' && !/^v\d+$/.test(part))
    .map((part) => (part.startsWith(':') ? `by-${part.slice(1)}` : part.replace(/\.json$/, '')));
  return [method.toLowerCase(), ...words.join('-').split(/\W+/)]
    .map((word, i) => (i === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1)))
    .join('');
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    target: 'draft-2020-12',
  });
  return rest as Json;
}
