/** How long everything is measured. */
export interface Plan {
  /** Rounds; in each, everything that is compared runs once. */
  rounds: number
  /** Multiplies the time of a slice. */
  scale: number
  /** Times the whole system is started. */
  starts: number
  /** Chats on the last of them. */
  chats: number
  /** Size of the store that the mixed load works on. */
  storeBytes: number
}

export const FULL: Plan = { rounds: 9, scale: 1, starts: 5, chats: 40, storeBytes: 5e9 }
export const QUICK: Plan = { rounds: 3, scale: 0.35, starts: 1, chats: 10, storeBytes: 2e8 }

/** Runs `a` and `b` in turn, the first of a pair last in the next, so that neither always follows the other. */
export async function inTurn(
  rounds: number,
  measurements: readonly ((round: number) => Promise<void>)[],
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? measurements : [...measurements].reverse()
    for (const measure of order) await measure(round)
  }
}
