/** Options of modules and domains as arguments, and refusals of those who take them. */
import { parse } from 'yaml'
import { CommandError } from '../../extend/command.ts'

/** What is refused is said as it is; a mistake of ours is not. */
export async function said<T>(done: Promise<T>): Promise<T> {
  try {
    return await done
  } catch (error) {
    throw error instanceof Error && error.name !== 'TypeError' ? new CommandError(error.message) : error
  }
}

/** Options written as YAML or JSON in one word of the command line. */
export function optionsOf(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined || text.trim() === '') return undefined
  let value: unknown
  try {
    value = parse(text, { logLevel: 'error' })
  } catch (error) {
    throw new CommandError(`The options are no YAML: ${(error as Error).message.split('\n')[0]}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CommandError('The options must be names with values, such as {name: Our server}')
  }
  return value as Readonly<Record<string, unknown>>
}
