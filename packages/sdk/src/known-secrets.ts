import { KnownSecrets } from '@agentos/protocol'

/**
 * What this process has to keep to itself, by value: the secrets of its manifest and whatever its worker learns
 * (`knownSecrets.learn(key)`). Blanked in its log, in errors and spans before they leave it, and, by fingerprint, by the
 * engine wherever that writes something. One for the process, as its environment is.
 */
export const knownSecrets = new KnownSecrets()
