/** A value as it travels: parsed, or as the bytes of its JSON text, which large payloads stay. */
export type Payload = { value: unknown } | { json: Buffer }

/** The value itself; bytes are parsed. Nothing is `undefined`. */
export function payloadValue(payload: Payload | undefined): unknown {
  if (payload === undefined) return undefined
  return 'json' in payload ? JSON.parse(payload.json.toString('utf8')) : payload.value
}

/** The JSON text of a value, for a body or a frame; `undefined` where there is no value. */
export function payloadJson(payload: Payload | undefined): string | Buffer | undefined {
  if (payload === undefined) return undefined
  return 'json' in payload ? payload.json : JSON.stringify(payload.value)
}
