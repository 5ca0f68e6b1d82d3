// What keeps a witness from starting, or from going on: words for its operator.

export class WitnessError extends Error {
  override readonly name = 'WitnessError'
}
