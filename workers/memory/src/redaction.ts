import { REDACTED, redactText } from '@agentos/sdk'

/** A secret as people say it; keys, tokens and `name=value` are found by the SDK's forms. */
const SPOKEN =
  /(\b(?:password|passphrase|passcode|pin|api key|access key|secret key|token) (?:is|was|are)(?: now)?:? ["']?)([^\s"',;]{4,})/gi

/** A text without what looks like a key, a token or a password. Only words with a digit or a sign count as spoken ones. */
export function withoutSecrets(text: string): string {
  return redactText(text).replace(SPOKEN, (whole, before: string, value: string) =>
    /[\d@#$%^&*!_+=~]/.test(value.replace(/(?<![.!?])[.!?]+$/, '')) ? before + REDACTED : whole,
  )
}
