# Completion of stepwell for bash: the program itself says what could come next.

_stepwell() {
    local line=${COMP_LINE:0:COMP_POINT} words typed before candidate
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=('')
    typed=${words[-1]}
    # What bash replaces begins after the last = or : of the word.
    before=${typed%"${typed##*[=:]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        case $candidate in
            '!files') mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "${typed#"$before"}") ;;
            '!directories') mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "${typed#"$before"}") ;;
            '!commands') mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -c -- "$typed") ;;
            "$typed"*) COMPREPLY+=("${candidate#"$before"}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    # An option's value, or a key's, follows without a blank.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _stepwell stepwell
