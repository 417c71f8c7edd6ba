/** Questions on a terminal: missing arguments, secrets without echo, whether something shall really be destroyed. */
import { createPromptModule } from 'inquirer'
import type { ArgumentDescription } from '../server-core/admin/control-protocol.ts'
import type { OutputStream } from './terminal.ts'

/** The person pressed Ctrl-C or ended the input. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

export interface Prompts {
  argument(argument: ArgumentDescription, suggestions: readonly string[]): Promise<string>
  secret(argument: ArgumentDescription): Promise<string>
  confirm(question: string): Promise<boolean>
}

/** Questions go to standard error: standard output is the result's. */
export function openPrompts(input: NodeJS.ReadStream, output: OutputStream): Prompts {
  const ask = createPromptModule({ input, output: output as NodeJS.WriteStream })
  const answer = async <T>(question: Record<string, unknown>): Promise<T> => {
    try {
      const answers = (await ask([{ ...question, name: 'answer' }] as unknown as Parameters<
        typeof ask
      >[0])) as {
        answer: T
      }
      return answers.answer
    } catch (error) {
      if (error instanceof Error && error.name === 'ExitPromptError') throw new Interrupted()
      throw error
    }
  }
  const label = ({ name, doc }: ArgumentDescription) => (doc === '' ? `${name}:` : `${name} (${doc}):`)
  return {
    async argument(argument, suggestions) {
      const choices =
        argument.choices ?? (suggestions.length > 1 && suggestions.length <= 20 ? suggestions : undefined)
      if (choices) {
        const named = choices.map((value) => ({ value, name: value === '' ? '(empty)' : value }))
        return answer({ type: 'select', message: label(argument), choices: named })
      }
      const [only] = suggestions
      return answer({
        type: 'input',
        message: label(argument),
        ...(only === undefined ? {} : { default: only }),
        validate: (text: string) =>
          argument.type !== 'integer' || /^[+-]?\d+$/.test(text) || 'It must be an integer.',
      })
    },
    async secret(argument) {
      const first = await answer<string>({
        type: 'password',
        message: `${argument.name}:`,
        mask: false,
        toggleMask: false,
      })
      if (argument.isNew !== true) return first
      const second = await answer<string>({
        type: 'password',
        message: `${argument.name} again:`,
        mask: false,
        toggleMask: false,
      })
      if (first === second) return first
      output.write('They differ; once more.\n')
      return this.secret(argument)
    },
    confirm: (question) => answer<boolean>({ type: 'confirm', message: question, default: false }),
  }
}
