import type { FunctionView } from '../../core/directory.ts'
import { resolveRef, type Schema, schemaObject } from './json-schema.ts'
import type { OwnRoute } from './own-routes.ts'
import { openApiPath } from './pattern.ts'
import { PROBLEM_SCHEMA } from './problem.ts'
import type { Route } from './routes.ts'

export interface OpenApiSource {
  version: string
  url: string
  own: readonly OwnRoute[]
  routes: Iterable<Route>
  functions: readonly FunctionView[]
}

type Components = Record<string, unknown>

const PROBLEM_REF = { $ref: '#/components/schemas/Problem' }
const ERROR_RESPONSE = {
  description: 'A problem; its code says which',
  content: { 'application/problem+json': { schema: PROBLEM_REF } },
}

const KEY_PARAMETER = {
  name: 'Idempotency-Key',
  in: 'header',
  description:
    'The call is made once: for 24 hours the same request with this key gets its recorded result, or `in_doubt` while nobody knows it',
  schema: { type: 'string', minLength: 1, maxLength: 256 },
}

/** The OpenAPI 3.1 document of all routes as they stand. */
export function openApi(source: OpenApiSource): object {
  const components: Components = { Problem: PROBLEM_SCHEMA }
  const functions = new Map(source.functions.map((fn) => [fn.id, fn]))
  const paths: Record<string, Record<string, unknown>> = {}
  const add = (path: string, method: string, operation: object): void => {
    paths[path] ??= {}
    paths[path][method.toLowerCase()] ??= operation
  }
  for (const own of source.own) {
    const ok = own.output ?? { type: 'object' }
    add(own.path, own.method, {
      operationId: operationId(own.method, own.path),
      summary: own.summary,
      tags: ['engine'],
      ...(own.input ? { requestBody: jsonBody(own.input, true) } : {}),
      responses: {
        [own.status ?? 200]: {
          description: own.summary,
          content: { [own.contentType ?? 'application/json']: { schema: ok } },
        },
        default: ERROR_RESPONSE,
      },
    })
  }
  const routes = [...source.routes].sort((a, b) => (pathKey(a) < pathKey(b) ? -1 : 1))
  for (const route of routes) {
    const fn = functions.get(route.functionId)
    add(openApiPath(route.pattern), route.method, operationOf(route, fn, components))
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'AgentOS',
      version: source.version,
      description:
        'Every route of this installation as it stands: those of installed workers, and those bound at run time.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: source.url }],
    security: [{}, { token: [] }, { session: [] }],
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'The owner token of data/owner-token' },
        session: { type: 'apiKey', in: 'cookie', name: 'agentos_session' },
      },
    },
  }
}

function operationOf(route: Route, fn: FunctionView | undefined, components: Components): object {
  const name = componentName(route.functionId)
  const request = component(fn?.request_format, `${name}.Input`, components)
  const response = component(fn?.response_format, `${name}.Output`, components)
  const contract = route.kind === 'contract'
  const pathNames = route.pattern.segments.flatMap((segment) => ('param' in segment ? [segment.param] : []))
  const bodyless = route.method === 'GET' || route.method === 'DELETE' || route.method === 'HEAD'
  const properties = contract ? propertiesOf(fn?.request_format) : {}
  const parameters = [
    ...pathNames.map((param) => ({
      name: param,
      in: 'path',
      required: true,
      schema: plain(properties[param], request) ?? { type: 'string' },
    })),
    ...(contract && bodyless ? queryParameters(properties, pathNames, fn?.request_format, request) : []),
    ...(contract && !bodyless ? [KEY_PARAMETER] : []),
  ]
  const content: Record<string, unknown> = { 'application/json': { schema: contract && response ? response : {} } }
  if (route.stream) {
    content['text/event-stream'] = {
      schema: {
        type: 'string',
        description: 'Events as they happen, then `done` with the result or `error` with a problem',
      },
    }
  }
  return {
    operationId: operationId(route.method, openApiPath(route.pattern)),
    summary: fn?.summary || route.functionId,
    tags: [route.functionId.split('::')[0] || 'functions'],
    'x-function-id': route.functionId,
    ...(fn && fn.access !== 'guest' ? { 'x-access': fn.access, security: [{ token: [] }, { session: [] }] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(bodyless ? {} : { requestBody: bodyOf(route, fn, request, properties, pathNames) }),
    responses: {
      [route.status]: { description: 'The output of the function', content },
      default: ERROR_RESPONSE,
    },
  }
}

/** The input without what the path gives; a stream is asked for with a boolean. */
function bodyOf(
  route: Route,
  fn: FunctionView | undefined,
  request: Schema | undefined,
  properties: Record<string, unknown>,
  pathNames: readonly string[],
): object {
  if (!request || route.kind !== 'contract') return jsonBody(request ?? {}, false)
  const names = Object.keys(properties).filter((name) => !pathNames.includes(name))
  if (pathNames.length === 0 && !route.stream) return jsonBody(request, true)
  const shown = Object.fromEntries(names.map((name) => [name, plain(properties[name], request) ?? {}]))
  if (route.stream) shown.stream = { type: 'boolean', description: 'Answer with server-sent events' }
  const required = requiredOf(fn?.request_format).filter((name) => names.includes(name) && name !== 'stream')
  return jsonBody(
    { type: 'object', properties: shown, ...(required.length > 0 ? { required } : {}) },
    required.length > 0,
  )
}

function queryParameters(
  properties: Record<string, unknown>,
  pathNames: readonly string[],
  format: unknown,
  request: Schema | undefined,
): object[] {
  const required = requiredOf(format)
  return Object.entries(properties)
    .filter(([name]) => !pathNames.includes(name))
    .map(([name, schema]) => ({
      name,
      in: 'query',
      ...(required.includes(name) ? { required: true } : {}),
      schema: plain(schema, request) ?? {},
    }))
}

function jsonBody(schema: object, required: boolean): object {
  return { ...(required ? { required } : {}), content: { 'application/json': { schema } } }
}

/** Puts a function's schema under `components`, its definitions beside it, and refers to it. */
function component(format: unknown, name: string, components: Components): Schema | undefined {
  const schema = schemaObject(format)
  if (!schema) return undefined
  const { $schema: _dialect, $id: _id, $defs, ...rest } = schema
  components[name] = rewrite(rest, name)
  for (const [key, definition] of Object.entries(schemaObject($defs) ?? {})) {
    components[`${name}.${componentName(key)}`] = rewrite(definition, name)
  }
  return { $ref: `#/components/schemas/${name}` }
}

/** A property's schema as it may stand outside of its document. */
function plain(schema: unknown, request: Schema | undefined): unknown {
  const name = typeof request?.$ref === 'string' ? request.$ref.slice('#/components/schemas/'.length) : undefined
  return schemaObject(schema) && name ? rewrite(schema, name) : undefined
}

/** A reference within a function's schema leads to its components. */
function rewrite(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, name))
  const object = schemaObject(value)
  if (!object) return value
  const entries = Object.entries(object).map(([key, item]): [string, unknown] => {
    if (key !== '$ref' || typeof item !== 'string') return [key, rewrite(item, name)]
    if (item === '#') return [key, `#/components/schemas/${name}`]
    const definition = /^#\/\$defs\/([^/]+)$/.exec(item)?.[1]
    return [key, definition === undefined ? item : `#/components/schemas/${name}.${componentName(definition)}`]
  })
  return Object.fromEntries(entries)
}

function propertiesOf(format: unknown): Record<string, unknown> {
  const schema = schemaObject(format)
  const target = schema ? resolveRef(schema, format) : undefined
  return schemaObject(target?.properties) ?? {}
}

function requiredOf(format: unknown): string[] {
  const required = schemaObject(format)?.required
  return Array.isArray(required) ? required.filter((name) => typeof name === 'string') : []
}

function componentName(text: string): string {
  return text.replaceAll('::', '.').replaceAll(/[^A-Za-z0-9._-]/g, '_')
}

function operationId(method: string, path: string): string {
  return `${method.toLowerCase()}${path.replaceAll(/[{}]/g, '').replaceAll(/[^A-Za-z0-9]+/g, '_')}`
}

function pathKey(route: Route): string {
  return `${openApiPath(route.pattern)} ${route.method}`
}
