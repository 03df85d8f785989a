/* The IDX files of nn/data as they are; the assembler finds them by its -I. */
    .section .note.GNU-stack, "", %progbits
    .section .rodata

    .macro embed name, file
    .global nn_\name, nn_\name\()_end
    .balign 16
nn_\name:
    .incbin "\file"
nn_\name\()_end:
    .byte 0
    .endm

    embed digits_train_images, "digits-train-images"
    embed digits_train_labels, "digits-train-labels"
    embed digits_test_images, "digits-test-images"
    embed digits_test_labels, "digits-test-labels"
