/** Loaded at the first tool call: it brings most of zod with it. */
export { fromJSONSchema } from 'zod'
