/** `longformer completion`: what a shell needs to complete commands and flags. */
import { Command } from 'commander';

/** program: asked when the command runs, when all others have been added. */
export function completionCommand(program: () => Command): Command {
  return new Command('completion')
    .description('Print a completion script for a shell.')
    .addHelpText('after', '\nExample:\n  source <(longformer completion bash)')
    .argument('<shell>', 'bash, zsh or fish')
    .action((shell: string, _flags: unknown, self: Command) => {
      const commands = program().commands.map(command => ({
        name: command.name(),
        description: command.description().split('\n')[0]!,
        words: [
          ...command.commands.map(inner => inner.name()),
          ...command.options.map(option => option.long ?? option.short!),
          '--help',
        ],
      }));
      const script = { bash, zsh, fish }[shell];
      if (!script) self.error(`error: no completion for "${shell}"; there is bash, zsh and fish`);
      process.stdout.write(script(commands));
    });
}

interface Described {
  readonly name: string;
  readonly description: string;
  readonly words: readonly string[];
}

const bash = (commands: readonly Described[]): string =>
  `_longformer() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')}" -- "$word"))
    return
  fi
  local words=
  case \${COMP_WORDS[1]} in
${commands.map(({ name, words }) => `    ${name}) words="${words.join(' ')}" ;;`).join('\n')}
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -W "$words" -- "$word")) ;;
  esac
}
complete -o filenames -F _longformer longformer
`;

const zsh = (commands: readonly Described[]): string =>
  `autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`;

const fish = (commands: readonly Described[]): string => {
  const quote = (text: string): string => `'${text.replaceAll("'", "\\'")}'`;
  return commands
    .flatMap(({ name, description, words }) => [
      `complete -c longformer -n __fish_use_subcommand -a ${name} -d ${quote(description)}`,
      ...words
        .filter(word => word.startsWith('--'))
        .map(word => `complete -c longformer -n '__fish_seen_subcommand_from ${name}' -l ${word.slice(2)}`),
    ])
    .join('\n')
    .concat('\n');
};
