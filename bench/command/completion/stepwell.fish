# Completion of stepwell for fish: the program itself says what could come next.

function __stepwell_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$typed" 2>/dev/null)
        switch $line
            case '!files'
                __fish_complete_path "$typed"
            case '!directories'
                __fish_complete_directories "$typed"
            case '!commands'
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end

complete -c stepwell -f -a '(__stepwell_complete)'
